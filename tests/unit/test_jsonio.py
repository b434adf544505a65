"""JSON in and out of dataclasses: Go's rules, foreign keys kept, errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr import jsonio
from pyodcr.jsonio import GO_ZERO_TIME, JsonInvalid, key
from pyodcr.lifecycle.models import ContainerConfig, ContainerState, Event, Volume


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@dataclass(frozen=True)
class Inner:
    port: int = key("Port", 0, keep=True)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    name: str = key("Name")
    when: datetime | None = key("When", None)
    path: Path = key("Path", Path("/"))
    colour: Colour = key("Colour", Colour.RED)
    level: Level = key("Level", Level.LOW)
    ratio: float = key("Ratio", 0.0)
    flag: bool = key("Flag", False)
    inner: Inner = key("Inner", factory=Inner)
    many: tuple[Inner, ...] = key("Many", ())
    named: Mapping[str, Inner] = key("Named", factory=dict)
    anything: Any = key("Anything", None)
    plain: int = 0


FULL = {
    "Name": "x",
    "When": "2026-01-02T03:04:05.678901Z",
    "Path": "/a/b",
    "Ratio": 1.5,
    "Flag": True,
    "Inner": {"Port": 1, "Unknown": [1, {"a": None}]},
    "Many": [{"Port": 2}, {"Port": 0}],
    "Named": {"n": {"Port": 3}},
    "Anything": {"deep": [1, 2]},
    "plain": 4,
}


def test_there_and_back() -> None:
    value = jsonio.decode(Outer, FULL)
    assert (value.name, value.path, value.many, value.plain) == ("x", Path("/a/b"), (Inner(2), Inner(0)), 4)
    assert value.when == datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    assert value.inner.extra == {"Unknown": [1, {"a": None}]}
    assert jsonio.encode(value) == FULL


def test_defaults_are_left_out_unless_kept() -> None:
    assert jsonio.encode(Outer("x")) == {"Name": "x"}
    assert jsonio.encode(Inner()) == {"Port": 0}
    assert jsonio.decode(Outer, {"Name": "x"}) == Outer("x")


def test_null_is_the_default() -> None:
    assert jsonio.decode(Outer, {"Name": "x", "Many": None, "Inner": None, "plain": None}) == Outer("x")


def test_an_integer_is_a_float_and_an_enum_by_value() -> None:
    value = jsonio.decode(Outer, {"Name": "x", "Ratio": 2, "Level": 1, "Colour": "red"})
    assert (value.ratio, value.level, value.colour) == (2.0, Level.LOW, Colour.RED)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"Name": 1}, ".Name"),
        ({"Name": None}, "Name"),
        ({"plain": True}, ".plain"),
        ({"plain": "1"}, ".plain"),
        ({"plain": 1.0}, ".plain"),
        ({"Flag": 1}, ".Flag"),
        ({"Ratio": True}, ".Ratio"),
        ({"Many": {}}, ".Many"),
        ({"Many": [{"Port": 1}, {"Port": "x"}]}, ".Many[1].Port"),
        ({"Named": []}, ".Named"),
        ({"Named": {"a": {"Port": []}}}, '.Named["a"].Port'),
        ({"Inner": []}, ".Inner"),
        ({"When": "yesterday"}, ".When"),
        ({"When": 5}, ".When"),
        ({"Colour": "blue"}, ".Colour"),
        ({"Level": 7}, ".Level"),
        ({"Path": 3}, ".Path"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(change: dict[str, Any], where: str) -> None:
    with pytest.raises(JsonInvalid) as caught:
        jsonio.decode(Outer, {"Name": "x"} | change, "doc")
    assert where in str(caught.value)


@pytest.mark.parametrize("value", [[], "x", None, 1])
def test_only_an_object_becomes_a_dataclass(value: Any) -> None:
    with pytest.raises(JsonInvalid):
        jsonio.decode(Outer, value)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"x"', "{'a': 1}", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(JsonInvalid) as caught:
        jsonio.loads(text, "the file")
    assert "the file" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (GO_ZERO_TIME, None),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)),
        ("2026-01-02T03:04:05.1+01:00", datetime(2026, 1, 2, 3, 4, 5, 100000, timezone(timedelta(hours=1)))),
    ],
)
def test_times_as_go_writes_them(text: str, value: datetime | None) -> None:
    assert jsonio.parse_time(text) == value


def test_no_time_is_gos_zero() -> None:
    assert jsonio.format_time(None) == GO_ZERO_TIME


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)))
def test_times_survive(value: datetime) -> None:
    assert jsonio.parse_time(jsonio.format_time(value)) == value


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_foreign_keys_survive_whatever_they_are(foreign: dict[str, Any]) -> None:
    foreign.pop("Port", None)
    document = {"Port": 1, **foreign}
    assert jsonio.loads(jsonio.dumps(jsonio.encode(jsonio.decode(Inner, document)))) == document


@pytest.mark.parametrize("cls", [ContainerConfig, ContainerState, Volume, Event])
def test_models_have_one_name_for_each_key(cls: type) -> None:
    names = [known.json_name for known in jsonio._fields(cls) if known.name != "extra"]
    assert len(names) == len(set(names))
