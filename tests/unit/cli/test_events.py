from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pyodcr.cli import events
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Event

DIED = Event(
    time=datetime(2026, 5, 1, 10, 0, 0, 250_000, tzinfo=UTC),
    type="container",
    status="died",
    id="0123456789abcdef" * 4,
    name="web",
    image="localhost/nginx:latest",
    exit_code=3,
    attributes={"app": "web"},
)
MADE = Event(time=DIED.time, type="volume", status="create", name="data")


def test_lines_are_podmans() -> None:
    told = "(image=localhost/nginx:latest, name=web, app=web, exitCode=3)"
    assert events.line(DIED, short=True).endswith(f" container died 0123456789ab {told}")
    assert events.line(DIED, short=False).endswith(f" container died {DIED.id} {told}")
    assert events.line(MADE, short=True).endswith(" volume create data")


def test_json_has_podmans_keys() -> None:
    assert events.fields(DIED) == {
        "ContainerExitCode": 3,
        "ID": DIED.id,
        "Image": "localhost/nginx:latest",
        "Name": "web",
        "Status": "died",
        "time": 1_777_629_600,
        "timeNano": 1_777_629_600_250_000_000,
        "Type": "container",
        "Attributes": {"app": "web"},
    }


@pytest.mark.parametrize(
    ("filter_", "of_died", "of_made"),
    [
        ("container=web", True, False),
        ("container=0123", True, False),
        ("container=eb", False, False),
        ("volume=data", False, True),
        ("event=died", True, False),
        ("event=die", True, False),
        ("status=create", False, True),
        ("type=volume", False, True),
        ("label=app", True, False),
        ("label=app=web", True, False),
        ("label=app=db", False, False),
        ("image=web", False, False),
    ],
)
def test_filters(filter_: str, of_died: bool, of_made: bool) -> None:
    name, _, value = filter_.partition("=")
    assert (events.FILTERS[name](DIED, value), events.FILTERS[name](MADE, value)) == (of_died, of_made)


def test_what_was_recorded(said: Callable[..., str]) -> None:
    for name in ("one", "two"):
        said("volume", "create", name)
    said("volume", "rm", "one")
    wanted = ("events", "--no-stream", "--format", "{{.Type}} {{.Status}} {{.Name}}")
    assert said(*wanted).splitlines() == ["volume create one", "volume create two", "volume remove one"]
    assert said(*wanted, "--since", "1h", "--filter", "volume=one").splitlines() == [
        *("volume create one", "volume remove one"),
    ]
    assert said(*wanted, "-f", "event=create", "-f", "event=remove", "-f", "volume=two").split()[-1] == "two"
    assert said(*wanted, "--until", "-1h") == ""
    assert said(*wanted, "--since", "0s") == ""
    lines = said("events", "--no-stream", "--format", "json").splitlines()
    assert [json.loads(line)["Name"] for line in lines] == ["one", "two", "one"]


def test_a_stream_ends_at_its_until(said: Callable[..., str]) -> None:
    said("volume", "create", "one")
    assert said("events", "--since", "1h", "--until", "0s", "--format", "{{.Name}}") == "one\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--filter", "colour=red"], "colour is an invalid filter"),
        (["--filter", "colour"], 'invalid filter "colour"'),
        (["--since", "soon"], '--since "soon" is not a time'),
        (["--until", "soon"], '--until "soon" is not a time'),
        (["--format", "{{"], "invalid template: unclosed action at character 1"),
    ],
)
def test_what_makes_no_sense(said: Callable[..., str], words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        said("events", "--no-stream", *words)
    assert caught.value.message == message
