"""What was measured, in frozen values: samples, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

OURS, THEIRS, FLOOR = "pyodcr", "podman", "floor"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number; ``what`` ends in its unit, _s or _bytes. ``turn`` counts rounds: sides of one turn ran in a row."""

    scene: str
    what: str
    side: str
    turn: int
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What the samples of one side say."""

    median: float
    least: float


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one scene. ``gain`` is how many times as much Podman needs: the median of each turn's ratio,

    since a load that changes meanwhile is the same for both sides of a turn. None where a side was not measured.
    """

    scene: str
    what: str
    figures: dict[str, Figure]
    gain: float | None


def summary(samples: Sequence[Sample]) -> list[Row]:
    """A row for each scene and measure, in the order in which they were measured first."""
    keys = dict.fromkeys((sample.scene, sample.what) for sample in samples)
    return [
        _row(scene, what, [each for each in samples if (each.scene, each.what) == (scene, what)])
        for scene, what in keys
    ]


def _row(scene: str, what: str, samples: Sequence[Sample]) -> Row:
    sides = dict.fromkeys(sample.side for sample in samples)
    figures = {side: _figure(sample.value for sample in samples if sample.side == side) for side in sides}
    return Row(scene, what, figures, _gain(samples))


def _figure(values: Iterable[float]) -> Figure:
    found = sorted(values)
    return Figure(median(found), found[0])


def _gain(samples: Sequence[Sample]) -> float | None:
    ours = {sample.turn: sample.value for sample in samples if sample.side == OURS}
    theirs = {sample.turn: sample.value for sample in samples if sample.side == THEIRS}
    ratios = [theirs[turn] / ours[turn] for turn in ours.keys() & theirs.keys() if ours[turn]]
    return median(ratios) if ratios else None
