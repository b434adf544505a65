"""The state machine, spelled out once more and by hand: which verb may be applied where."""

from __future__ import annotations

import pytest

from pyodcr.errors import WrongState
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState, Status
from pyodcr.lifecycle.transitions import ALLOWED, HINTS, REFUSALS, Op, require

#            created initialized running stopping stopped paused exited removing
TABLE = """
start        yes     yes         no      no       yes     no     yes    no
stop         no      yes         yes     yes      no      no     no     no
kill         no      no          yes     yes      no      yes    no     no
pause        no      no          yes     no       no      no     no     no
unpause      no      no          no      no       no      yes    no     no
restart      yes     yes         yes     no       yes     no     yes    no
exec         no      no          yes     no       no      no     no     no
attach       no      yes         yes     no       no      no     no     no
checkpoint   no      no          yes     no       no      no     no     no
restore      yes     no          no      no       no      no     yes    no
remove       yes     yes         no      no       yes     no     yes    yes
"""
ROWS = [row.split() for row in TABLE.split("\n") if row]


def container(status: Status) -> Container:
    return Container(ContainerConfig(id="a" * 64, name="web"), ContainerState(status=status))


def test_the_table_names_every_verb() -> None:
    assert {row[0] for row in ROWS} == {str(op) for op in Op} == {str(op) for op in ALLOWED}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_allowed_and_refused(row: list[str]) -> None:
    op = Op(row[0])
    for status, answer in zip(Status, row[1:], strict=True):
        if answer == "yes":
            require(op, container(status))
            continue
        with pytest.raises(WrongState) as caught:
            require(op, container(status))
        error = caught.value
        assert error.code == "wrong-state"
        assert error.message.endswith(": container state improper")
        assert error.details == {"container": "a" * 64, "state": str(status)}
        assert "web" in error.message
        assert "{" not in error.message
        assert error.hint == HINTS.get((op, status))


def test_every_verb_has_its_words() -> None:
    assert set(REFUSALS) == set(Op)


def test_hints_are_for_what_is_refused() -> None:
    assert not [(op, status) for op, status in HINTS if status in ALLOWED[op]]
