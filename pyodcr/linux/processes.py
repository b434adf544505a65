"""Who runs, with which arguments, and who is whose child, as /proc says it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyodcr.linux import boot, pidfd

PROC = Path("/proc")
DEATH_S = 5.0


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(PROC) if name.isdigit())


def arguments(pid: int) -> tuple[str, ...]:
    """The command line; empty for a kernel thread, a zombie, and a process that is gone."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in line.split(b"\0")[:-1])


def with_argument(word: str) -> tuple[int, ...]:
    """The processes that were given this very argument."""
    return tuple(pid for pid in pids() if word in arguments(pid))


def descendants(ancestors: Iterable[int]) -> tuple[int, ...]:
    """The children of ``ancestors``, their children, and so on, parents before children."""
    children: dict[int, list[int]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process.pid)
    found: list[int] = []
    following = list(ancestors)
    while following:
        following = [child for parent in following for child in children.get(parent, ())]
        found += following
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Process:
    """``name`` is its program's, 15 characters of it; a ``zombie`` is dead, and its parent has not looked yet."""

    pid: int
    name: str
    parent: int
    zombie: bool


def children(parent: int) -> tuple[Process, ...]:
    return tuple(process for process in _all() if process.parent == parent)


def _all() -> Iterator[Process]:
    for pid in pids():
        with suppress(OSError):  # it is gone
            before, _, after = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")
            state, ppid = after.split()[:2]
            yield Process(pid, before.partition("(")[2], int(ppid), state in "ZX")


def named(name: str) -> tuple[int, ...]:
    """The processes whose program calls itself that, zombies left out."""
    return tuple(process.pid for process in _all() if process.name == name and not process.zombie)


PF_EXITING = 0x4  # include/linux/sched.h
SIGKILL_BIT = 1 << signal.SIGKILL - 1


def is_dying(pid: int) -> bool:
    """Whether it is on its way out, or will be when it next looks: to free a large memory takes seconds."""
    with suppress(OSError, StopIteration):
        directory = PROC / str(pid)
        flags = int((directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[6])
        status = (directory / "status").read_text(errors="replace").splitlines()
        pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
        return bool(flags & PF_EXITING) or any(signals & SIGKILL_BIT for signals in pending)
    return False


def having_open(path: Path, name: str) -> tuple[int, ...]:
    """The processes of that name which have the file open."""
    return tuple(pid for pid in named(name) if str(path) in _open_files(pid))


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(descriptor))
    return found


def kill_families(ancestors: Iterable[int]) -> None:
    """SIGKILL processes and all their descendants, but never ourselves, nor init, whose descendants are everybody.

    They are dead when it returns, but for what hangs in the kernel for longer than :data:`DEATH_S`.
    """
    ancestors = tuple(pid for pid in ancestors if pid > 1)
    killed = {pid: boot.start_time(pid) for pid in {*ancestors, *descendants(ancestors)} - {os.getpid()}}
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + DEATH_S
    for pid, started in killed.items():
        if started:
            pidfd.wait(pid, started, max(0.0, end - time.monotonic()))
