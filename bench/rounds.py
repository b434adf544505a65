"""The measurements: containers of both sides side by side, and the same commands on one after the other."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import image, measure, stages
from bench.clock import SETTLED_S, Clock
from bench.floor import Bare
from bench.results import FLOOR, OURS, Sample
from bench.sides import IMAGE, Side

NAME = "c"
Record = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """A container to be measured: its resident memory, and how many files it has made in its root filesystem."""

    name: str
    size_mib: int
    files: int = 0


class Subject:
    """One side's container: checkpointed, removed and imported again and again, with its memory checked each time."""

    def __init__(self, side: Side, scene: Scene, archives: Path) -> None:
        self.side = side
        self._archive = archives / f"{side.name}.tar.zst"
        self._clock = Clock(Path(tempfile.mkdtemp(dir="/dev/shm", prefix=f"clock-{side.name}-")))
        side.run(NAME, self._clock.directory, image.command(scene.size_mib, scene.files))
        self._clock.wait_for_tick()
        self._sum = self._clock.memory_sum()

    def turn(self, record: Record, *, watch: bool) -> None:
        self._export_running(record, watch=watch)
        self._export(record, watch=watch)
        self.side.remove(NAME)
        self._import(record, watch=watch)
        if self._clock.memory_sum() != self._sum:
            raise RuntimeError(f"{self.side.name} brought back another memory than it had checkpointed")

    def explained(self) -> Iterator[tuple[str, float]]:
        """One more export and import, for the seconds of their parts."""
        export = stages.logged(self.side, self.side.checkpoint(NAME, self._archive, leave_running=False))
        self.side.remove(NAME)
        back = stages.logged(self.side, self.side.restore(self._archive))
        self._archive.unlink()
        for verb, parts, found in (("export", stages.EXPORT, export), ("import", stages.IMPORT, back)):
            for name, seconds in stages.split(parts, *found).items():
                yield f"{verb}: {name}{stages.SUFFIX}", seconds

    def remove(self) -> None:
        self.side.remove(NAME)

    def _export_running(self, record: Record, *, watch: bool) -> None:
        """--leave-running."""
        done = self._timed(self.side.checkpoint(NAME, self._archive, leave_running=True), watch=watch)
        self._clock.wait_for_tick(done.ended_ns)
        time.sleep(SETTLED_S)
        record("running-export_s", done.wall_s)
        record("running-frozen_s", self._clock.longest_gap(done.began_ns).seconds)
        record("running-cpu_s", done.cpu_s)
        self._archive.unlink()

    def _export(self, record: Record, *, watch: bool) -> None:
        done = self._timed(self.side.checkpoint(NAME, self._archive, leave_running=False), watch=watch)
        record("export_s", done.wall_s)
        record("export-durable_s", done.wall_s + _sync_s(self._archive))
        record("export-frozen_s", (done.ended_ns - self._clock.last_tick_ns()) / 1e9)
        record("export-cpu_s", done.cpu_s)
        record("export-charged_bytes", done.charged_bytes)
        record("archive_bytes", self._archive.stat().st_size)
        if watch:
            record("export-own_bytes", done.own_bytes)

    def _import(self, record: Record, *, watch: bool) -> None:
        done = self._timed(self.side.restore(self._archive), watch=watch)
        self._clock.wait_for_tick(done.began_ns)
        time.sleep(SETTLED_S)
        record("import_s", (self._clock.longest_gap(done.began_ns).end_ns - done.began_ns) / 1e9)
        record("import-command_s", done.wall_s)
        record("import-cpu_s", done.cpu_s)
        record("import-charged_bytes", done.charged_bytes)
        if watch:
            record("import-own_bytes", done.own_bytes)
        self._archive.unlink()

    def _timed(self, argv: Sequence[str], *, watch: bool) -> measure.Run:
        os.sync()  # what others have left to write is not this command's business
        return measure.run(argv, watch=watch)


def checkpoints(sides: Sequence[Side], scene: Scene, turns: int, place: Path, bare: Bare | None) -> Iterator[Sample]:
    """The sides and the bare runtime in turn, ``turns`` times; once more, watched, for the memory of their processes.

    Ours then says where the time went.
    """
    subjects = [Subject(side, scene, place) for side in sides]
    for turn in range(turns + 1):
        if bare is not None and turn < turns:
            yield from (Sample(scene.name, what, FLOOR, turn, value) for what, value in bare.turn().items())
        for subject in subjects:
            found: dict[str, float] = {}
            subject.turn(found.__setitem__, watch=turn == turns)
            for what, value in found.items():
                if turn < turns or what.endswith("-own_bytes"):
                    yield Sample(scene.name, what, subject.side.name, turn, value)
    for subject in subjects:
        if subject.side.name == OURS:
            for turn in range(turns):
                yield from (Sample(scene.name, what, OURS, turn, value) for what, value in subject.explained())
        subject.remove()
    if bare is not None:
        bare.remove()


def listings(sides: Sequence[Side], counts: Sequence[int], turns: int) -> Iterator[Sample]:
    """``ps`` with so many containers running."""
    for count in counts:
        for side in sides:
            for _ in range(len(side.call("ps", "-q").split()), count):
                side.call("run", "-d", "--network", "none", IMAGE, *image.IDLE)
        for turn in range(turns):
            for side in sides:
                done = measure.run(side.argv("ps"))
                scene = f"{count} containers" if count > 1 else "1 container"
                yield Sample(scene, "ps_s", side.name, turn, done.wall_s)
                yield Sample(scene, "ps-cpu_s", side.name, turn, done.cpu_s)


def _sync_s(path: Path) -> float:
    began = time.monotonic()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return time.monotonic() - began
