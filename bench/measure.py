"""Run one command, and know how long it took, how much processor time, and how much memory, children included."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.memory import Watch

CGROUPS = Path("/sys/fs/cgroup")
ENTER = ("sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"')
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Run:
    """Times in nanoseconds of CLOCK_REALTIME.

    ``charged_bytes`` is the most that its memory cgroup was charged for: anonymous memory, tmpfs and page cache.
    ``own_bytes`` is the most that the engine's own processes had together (their PSS: neither CRIU nor the runtime),
    0 where nobody watched.
    """

    began_ns: int
    ended_ns: int
    cpu_s: float
    charged_bytes: int
    own_bytes: int

    @property
    def wall_s(self) -> float:
        return (self.ended_ns - self.began_ns) / 1e9


def run(argv: Sequence[str | Path], *, watch: bool = False) -> Run:
    """In a memory cgroup of its own; raises RuntimeError if it fails. Watching costs time: not where that counts."""
    with _memory_cgroup() as group, tempfile.TemporaryFile() as output:
        watching = Watch(group / "cgroup.procs") if watch else nullcontext()
        began_ns = time.time_ns()
        child = subprocess.Popen([*ENTER, group, *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        with watching as watched:
            _, status, usage = os.wait4(child.pid, 0)
        ended_ns = time.time_ns()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(map(str, argv))}: {child.returncode}\n{output.read().decode()}")
        return Run(
            began_ns,
            ended_ns,
            cpu_s=usage.ru_utime + usage.ru_stime,
            charged_bytes=_peak_bytes(group),
            own_bytes=watched.peak_bytes if watched else 0,
        )


@contextmanager
def _memory_cgroup() -> Iterator[Path]:
    top = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "memory"
    group = top / f"bench-{next(_numbers)}"
    group.mkdir()
    try:
        yield group
    finally:
        for _ in range(50):  # a monitor may be on its way to a cgroup of its own
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


def _peak_bytes(group: Path) -> int:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):  # cgroup v2, v1
        if (group / name).exists():
            return int((group / name).read_text())
    return 0
