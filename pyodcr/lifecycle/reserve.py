"""A file of no content that holds some space for the state database, so that ``rm`` works on a full disk.

What frees space has to be recorded first, and that takes a few pages of journal. So the file is made while there
is plenty of room, and given up when there is next to none; the room it leaves is for the next records.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

NAME = "reserve"
SIZE_BYTES = 1 << 20
SCARCE_BYTES = 256 << 10  # the largest record, its journal, and SQLite's index of that
PLENTY_BYTES = 16 << 20


class Act(Enum):
    MAKE = auto()
    GIVE_UP = auto()
    NOTHING = auto()


def decide(free_bytes: int, *, held: bool) -> Act:
    """What to do about the file, by the room there is beside it."""
    if held and free_bytes < SCARCE_BYTES:
        return Act.GIVE_UP
    if not held and free_bytes > PLENTY_BYTES:
        return Act.MAKE
    return Act.NOTHING


def is_full(directory: Path) -> bool:
    """Whether next to nothing is left on the disk, also for root."""
    try:
        return _free_bytes(directory) < SCARCE_BYTES
    except OSError:
        return False


def settle(directory: Path) -> None:
    """Make the file or give it up, whichever is due. It is a help and no more: that it cannot be made is no error."""
    path = directory / NAME
    with suppress(OSError):
        act = decide(_free_bytes(directory), held=path.exists())
        if act is Act.GIVE_UP:
            path.unlink(missing_ok=True)
        elif act is Act.MAKE:
            _make(path)


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bfree * found.f_frsize


def _make(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, SIZE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
