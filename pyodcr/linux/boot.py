"""Which boot this is, and which process a pid meant: the facts that make old records void."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

GONE = -1


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int:
    """When ``pid`` started, in clock ticks since boot (proc(5) field 22); 0 where there is no such process.

    With the pid it names a process for ever: pids come again, pairs do not. A zombie counts as dead.
    """
    if pid <= 0:
        return 0
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rpartition(")")[2].split()  # comm may hold spaces and parentheses
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def start_time_to_record(pid: int) -> int:
    """As :func:`start_time`; :data:`GONE` for a process that has died already, so that no other is taken for it."""
    return start_time(pid) or GONE


def is_alive(pid: int, started: int) -> bool:
    """Whether the process of that pid and start time still runs (``started`` 0: any process of that pid)."""
    found = start_time(pid)
    return found != 0 and started in (0, found)


def own_start_time() -> int:
    return start_time(os.getpid())
