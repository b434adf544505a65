"""Where CRIU's images wait for the archive: in memory where there is room, else on the disk under ROOT.

::

    ROOT/staging/OPERATION/             on disk
    ├── work/                           logs of CRIU and the runtime, statistics
    ├── aside/                          files of a container that runs on (--leave-running)
    ├── checkpoint/                     the images, on disk
    └── memory/checkpoint/              the images, in a tmpfs of this operation

Images that are to be kept are always on disk: they must outlive a reboot. The tmpfs lies below the operation's own
directory, so whoever removes that (the operation, or the next verb after a kill -9) unmounts it, and its size is
limited: the host's last memory, and that of the control groups we are in, is never taken. It is they who are charged,
since CRIU, our grandchild, writes the pages; the container's own group is not (tried on cgroup v1).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pyodcr.checkpoint.archive.names import CHECKPOINT
from pyodcr.config import Staging
from pyodcr.errors import SystemFailed, Unsupported
from pyodcr.linux import files, memory, mounts

MIB = 1 << 20

BESIDE_BYTES = 64 * MIB  # images of files, pipes and process trees
OURS_BYTES = 192 * MIB  # pyodcr and CRIU themselves, within the limits of their control groups
HOST_BYTES = 256 * MIB  # left to everybody else, or a tenth of the host if that is more


class Medium(StrEnum):
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Room:
    """What memory there is: of the host, available and in all, and below each limit on this process."""

    available_bytes: int
    total_bytes: int
    limits: Sequence[memory.Limit] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """``size_bytes`` bounds a tmpfs; ``why`` ends the sentence that begins with the medium."""

    medium: Medium
    why: str
    size_bytes: int = 0


def observe() -> Room:
    host = memory.host()
    return Room(host["MemAvailable"], host["MemTotal"], memory.limits())


def choose(wish: Staging, room: Room, need_bytes: int, *, kept: bool) -> Choice:
    """Where images of about ``need_bytes`` go; ``kept`` are those that stay when the operation is over.

    The need was measured before the freeze, and the container goes on growing until then: so the tmpfs may become an
    eighth larger, if there is as much. Raises :class:`Unsupported` where memory is demanded and there is not enough.
    """
    if kept:
        return Choice(Medium.DISK, "the images are kept")
    if wish is Staging.DISK:
        return Choice(Medium.DISK, "the configuration says so")
    free, whose = free_bytes(room)
    need = need_bytes + BESIDE_BYTES
    if need + need_bytes // 8 <= free:
        return Choice(Medium.MEMORY, f"{_mib(free)} of memory are free", min(free, need + need_bytes // 4))
    why = f"it takes {_mib(need + need_bytes // 8)} of memory, and {whose} leaves {_mib(free)}"
    if wish is Staging.MEMORY:
        raise Unsupported(
            f"the checkpoint cannot be made in memory: {why}",
            code="no-memory",
            hint='free some memory, or set staging = "auto"',
        )
    return Choice(Medium.DISK, why)


def free_bytes(room: Room) -> tuple[int, str]:
    """The memory a tmpfs may take, and who bounds it."""
    host = room.available_bytes - max(HOST_BYTES, room.total_bytes // 10)
    bounds = [(limit.free_bytes - OURS_BYTES, f"the limit of {limit.cgroup}") for limit in room.limits]
    free, whose = min([(host, "the host"), *bounds])
    return max(0, free), whose


def images_directory(staging: Path, choice: Choice) -> Path:
    """Where the images will be, in the operation's directory ``staging``."""
    return staging / CHECKPOINT if choice.medium is Medium.DISK else staging / Medium.MEMORY / CHECKPOINT


def prepare(staging: Path, choice: Choice) -> Path:
    """Make the images' directory, which is recorded by now; returns it."""
    images = images_directory(staging, choice)
    if choice.medium is Medium.MEMORY:
        mount(files.make_directory(images.parent), choice.size_bytes)
    return files.make_directory(images)


def mount(place: Path, size_bytes: int) -> None:
    """A tmpfs for us alone. With large folios CRIU writes into it at twice the speed, where the kernel has them."""
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    options = f"mode=0700,size={size_bytes}"
    try:
        mounts.mount("tmpfs", place, "tmpfs", flags, f"{options},huge=within_size")
    except SystemFailed as error:
        if error.details.get("errno") != errno.EINVAL:
            raise
        mounts.mount("tmpfs", place, "tmpfs", flags, options)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // MIB} MiB"
