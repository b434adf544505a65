"""Where one command of ours spends its time: from the stages that it tells with ``--log-level debug``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.sides import Side


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log, and when it came."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a command: from ``begin``, the words after which it begins, to the next part."""

    name: str
    begin: str
    skip: int = 0  # so many such lines are passed over


SUFFIX = "; part_s"  # of a part's name, where it is a measure
EXPORT = (
    Part("start, preflight", ""),
    Part("staging, guard, hook", "the checkpoint is preparing"),
    Part("runtime and CRIU start", "the checkpoint is dumping"),
    Part("freeze and dump, archive meanwhile", "the checkpoint is dumping", skip=1),
    Part("hold: the rest, fsync", "the checkpoint is holding"),
    Part("CRIU kills and ends", "the checkpoint is committed"),
    Part("clean-up, end", "the checkpoint is finishing"),
)
IMPORT = (
    Part("start", ""),
    Part("read, verify, fill", "/guard.py"),
    Part("conmon, runtime, CRIU", "the restore is restoring"),
)


def logged(side: Side, argv: Sequence[str]) -> tuple[float, list[Line], float]:
    """Run a command line of ``side`` with its log on: when it began, what it said when, and when it ended."""
    words = [*side.engine, "--log-level", "debug", *argv[len(side.engine) :]]
    began_s = time.time()
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        lines = [Line(time.time(), line.decode(errors="replace")) for line in child.stderr]
    if child.returncode:
        raise RuntimeError(f"{' '.join(words)}: {child.returncode}\n{''.join(line.text for line in lines)}")
    return began_s, lines, time.time()


def split(parts: Sequence[Part], began_s: float, lines: Sequence[Line], ended_s: float) -> dict[str, float]:
    """The seconds of each part; one whose words were not said is left out, and its time is the part's before it."""
    begun = [(part.name, at_s) for part in parts for at_s in _begin(part, began_s, lines)]
    ends = [*(at_s for _, at_s in begun[1:]), ended_s]
    return {name: end - at_s for (name, at_s), end in zip(begun, ends, strict=True)}


def _begin(part: Part, began_s: float, lines: Sequence[Line]) -> Iterator[float]:
    said = [line.at_s for line in lines if part.begin in line.text] if part.begin else [began_s]
    yield from said[part.skip : part.skip + 1]
