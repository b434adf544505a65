"""What was measured, in frozen values: samples, what they amount to, and the file they are kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

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
class Results:
    """All samples of one run of the bench; ``facts`` say where, when and how."""

    facts: Mapping[str, Any]
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Figure:
    """What the samples of one side say."""

    median: float
    least: float


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one scene.

    ``gain`` is how many times as much Podman needs: the median of each turn's ratio, as a load that changes meanwhile
    is the same for both sides of a turn. None where a side was not measured.
    """

    scene: str
    what: str
    figures: Mapping[str, Figure]
    gain: float | None


def summary(samples: Sequence[Sample]) -> list[Row]:
    """A row for each scene and measure, in the order in which they were measured first."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.scene, sample.what), []).append(sample)
    return [_row(scene, what, group) for (scene, what), group in groups.items()]


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


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"facts": results.facts}, indent=1).removesuffix("\n}")
    rows = ",\n".join(f"  {json.dumps(asdict(sample))}" for sample in results.samples)
    path.write_text(f'{head},\n "samples": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def read(path: Path) -> Results:
    document = json.loads(path.read_text(encoding="utf-8"))
    return Results(document["facts"], tuple(Sample(**sample) for sample in document["samples"]))
