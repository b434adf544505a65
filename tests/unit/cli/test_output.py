from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pyodcr.cli import output
from pyodcr.cli.output import Columns
from pyodcr.errors import UsageError

ROWS = [{"ID": "0123456789ab", "Names": "web", "Size": 3}, {"ID": "ba9876543210", "Names": "a-longer-name", "Size": 12}]
COLUMNS = Columns(("ID", "Names", "Size"), {"ID": "CONTAINER ID"})


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def show(wanted: str = "", *, heading: bool = True) -> str:
        output.show(ROWS, wanted, COLUMNS, heading=heading)
        return capsys.readouterr().out

    return show


def test_the_default_table(shown: Callable[..., str]) -> None:
    assert shown() == (
        "CONTAINER ID  NAMES          SIZE\n"
        "0123456789ab  web            3\n"
        "ba9876543210  a-longer-name  12\n"
    )  # fmt: skip
    assert shown("table") == shown()
    assert shown(heading=False).splitlines()[0].startswith("0123456789ab")


def test_narrow_columns_have_twelve_characters() -> None:
    assert list(output.aligned([["a", "b", "c"], ["d", "", "e"]])) == [
        "a           b           c",
        "d                       e",
    ]


def test_nothing_is_at_the_end_of_a_line() -> None:
    assert list(output.aligned([["a", ""], ["b", "c"]])) == ["a", "b           c"]


def test_a_heading_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([], "", COLUMNS)
    assert capsys.readouterr().out == "CONTAINER ID  NAMES       SIZE\n"


def test_templates(shown: Callable[..., str]) -> None:
    assert shown("{{.Names}}") == "web\na-longer-name\n"
    assert shown("{{.Names}}\\n") == "web\na-longer-name\n"
    assert shown("{{range .}}{{.Size}} {{end}}") == "3 12 \n"
    assert shown("table {{.Names}} {{.Size}}") == (
        "NAMES          SIZE\n"
        "web            3\n"
        "a-longer-name  12\n"
    )  # fmt: skip
    assert shown("table {{.ID}}", heading=False) == "0123456789ab\nba9876543210\n"


def test_a_bad_template_prints_nothing(shown: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        shown("{{.Nobody}}")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("wanted", ["json", "{{json .}}", "{{ json . }}", "{{json}}"])
def test_json_may_be_asked_for_as_in_podman(wanted: str) -> None:
    assert output.is_json(wanted)


@pytest.mark.parametrize("wanted", ["", "table", "{{json .Names}}", "{{.json}}"])
def test_what_is_not_json(wanted: str) -> None:
    assert not output.is_json(wanted)


def test_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_inspected([{"A": 1}], "")
    assert capsys.readouterr().out == '[\n     {\n          "A": 1\n     }\n]\n'
    output.show_inspected([], "json")
    assert json.loads(capsys.readouterr().out) == []
    output.show_inspected([{"A": 1}, {"A": 2}], "{{.A}}")
    assert capsys.readouterr().out == "1\n2\n"
