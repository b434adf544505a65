"""A log with the times at which its lines came, split into the parts of a command."""

from __future__ import annotations

import pytest

from bench.stages import EXPORT, IMPORT, Line, Part, split

PARTS = (Part("a", ""), Part("b", "begin b"), Part("c", "begin b", skip=1), Part("d", "begin d"))


def test_each_part_lasts_until_the_next_begins() -> None:
    lines = [Line(11.0, "begin b"), Line(13.0, "begin b"), Line(13.5, "noise"), Line(16.0, "it is: begin d, now")]
    assert split(PARTS, 10.0, lines, 20.0) == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}


def test_a_part_that_is_not_told_belongs_to_the_one_before() -> None:
    assert split(PARTS, 0.0, [Line(1.0, "begin b"), Line(5.0, "begin d")], 6.0) == {"a": 1.0, "b": 4.0, "d": 1.0}


def test_a_silent_command_is_its_first_part() -> None:
    assert split(PARTS, 0.0, [], 2.0) == {"a": 2.0}


def test_nothing_is_lost() -> None:
    said = ("preparing", "dumping", "dumping", "holding", "committed", "finishing")
    lines = [Line(float(at), f"DEBUG: the checkpoint is {stage}\n") for at, stage in enumerate(said, 1)]
    found = split(EXPORT, 0.0, lines, 10.0)
    assert list(found) == [part.name for part in EXPORT]
    assert sum(found.values()) == pytest.approx(10.0)


@pytest.mark.parametrize("parts", [EXPORT, IMPORT])
def test_every_name_is_there_once(parts: tuple[Part, ...]) -> None:
    assert len({part.name for part in parts}) == len(parts)
    assert not [part.name for part in parts if ";" in part.name], "what follows would be cut off"
