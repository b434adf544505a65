"""From samples to medians and ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import results
from bench.results import FLOOR, OURS, THEIRS, Results, Sample, summary


def samples(side: str, *values: float, what: str = "export_s", scene: str = "16 MiB") -> list[Sample]:
    return [Sample(scene, what, side, turn, value) for turn, value in enumerate(values)]


def test_a_row_has_each_sides_median_and_least() -> None:
    [row] = summary([*samples(OURS, 3, 1, 2), *samples(THEIRS, 8, 4, 6), *samples(FLOOR, 1, 1)])
    assert row.figures[OURS] == results.Figure(median=2, least=1)
    assert row.figures[THEIRS] == results.Figure(median=6, least=4)
    assert row.figures[FLOOR].median == 1


def test_the_gain_is_taken_within_each_turn() -> None:
    """In the second turn the machine was ten times slower: for both."""
    [row] = summary([*samples(OURS, 1, 10, 1), *samples(THEIRS, 3, 30, 3)])
    assert row.gain == 3


def test_turns_that_one_side_has_alone_do_not_count() -> None:
    [row] = summary([*samples(OURS, 1, 1, 100), *samples(THEIRS, 2, 2)])
    assert row.gain == 2
    [row] = summary(samples(OURS, 1))
    assert row.gain is None


def test_rows_keep_the_order_of_measuring() -> None:
    found = summary([*samples(OURS, 1, what="b_s"), *samples(OURS, 1, what="a_s"), *samples(THEIRS, 1, what="b_s")])
    assert [row.what for row in found] == ["b_s", "a_s"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    kept = Results({"kernel": "6.18", "turns": 3}, tuple(samples(OURS, 1.5, 2.25)))
    results.write(kept, tmp_path / "new" / "crun.json")
    assert results.read(tmp_path / "new" / "crun.json") == kept


def test_what_never_was_measured_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        results.read(tmp_path / "crun.json")
