"""How much memory an engine's own processes have together, looked at every few milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

PERIOD_S = 0.01
# of a command's processes these are not the engine's own: CRIU, the runtimes, and what they restore
TOOLS = frozenset({"criu", "crun", "runc"})
WORKLOAD = "/workload.py"


def is_own(command_line: bytes) -> bool:
    """By the words of /proc/PID/cmdline; one without any is a kernel thread, or about to end."""
    words = command_line.decode(errors="replace").split("\0")
    return bool(words[0]) and words[0].rpartition("/")[2] not in TOOLS and WORKLOAD not in words


def pss_bytes(rollup: str) -> int:
    """Of a text as /proc/PID/smaps_rollup: shared pages are divided among those who share them."""
    return next((int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


class Watch:
    """While the ``with`` block runs; ``peak_bytes`` afterwards. ``members`` is the command's cgroup.procs."""

    def __init__(self, members: Path) -> None:
        self.peak_bytes = 0
        self._members = members
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(PERIOD_S):
            self.peak_bytes = max(self.peak_bytes, _sum_bytes(self._members.read_text().split()))


def _sum_bytes(pids: Iterable[str]) -> int:
    total = 0
    for pid in pids:
        process = Path("/proc", pid)
        try:
            if is_own((process / "cmdline").read_bytes()):
                total += pss_bytes((process / "smaps_rollup").read_text())
        except OSError:  # it has ended
            continue
    return total
