"""mount(2), umount2(2), and what /proc/self/mountinfo says."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyodcr.errors import SystemFailed

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
    return libc


def mount(source: str | Path, target: Path, fstype: str = "", flags: int = 0, options: str = "") -> None:
    status = _libc().mount(
        os.fsencode(source), os.fsencode(target), fstype.encode() or None, flags, os.fsencode(options) or None
    )
    if status != 0:
        number = ctypes.get_errno()
        kind = fstype or "bind"
        raise SystemFailed(
            f"cannot mount {kind} on {target}: {os.strerror(number).lower()}",
            errno=number,
            options=options,
            hint="the mount options are too long: fewer or shorter layer paths" if len(options) > 4095 else None,
        )


def bind(source: Path, target: Path, *, read_only: bool = False, recursive: bool = True) -> None:
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def make_private(target: Path) -> None:
    mount("none", target, flags=MS_PRIVATE)


def unmount(target: Path, *, lazy: bool = False) -> bool:
    """Unmount; False where nothing was mounted (or nothing is there), so teardown may be repeated."""
    if _libc().umount2(os.fsencode(target), MNT_DETACH if lazy else 0) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOENT):
        return False
    raise SystemFailed(f"cannot unmount {target}: {os.strerror(number).lower()}", errno=number)


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/PID/mountinfo (proc(5))."""

    id: int
    parent: int
    root: str
    target: Path
    fstype: str
    source: str
    options: str


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def parse(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    fields, kind = left.split(" "), right.split(" ")
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        root=_unescape(fields[3]),
        target=Path(_unescape(fields[4])),
        fstype=kind[0],
        source=_unescape(kind[1]),
        options=",".join([fields[5], *kind[2:]]),
    )


def table(pid: int | str = "self") -> Iterator[Mount]:
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            yield parse(line.rstrip("\n"))


def below(directory: Path) -> list[Mount]:
    """The mounts at or under ``directory``, in the order they were made."""
    return [found for found in table() if found.target == directory or directory in found.target.parents]


def is_mounted(target: Path) -> bool:
    return any(found.target == target for found in table())


def unmount_below(directory: Path) -> list[Path]:
    """Unmount all that is mounted at or under ``directory``, last made first; returns the places.

    It runs before every removal of a tree and every delete by a runtime: a killed ``runc restore``
    leaves a bind of the root filesystem through which ``runc delete --force`` empties it.
    """
    found = below(directory)
    places = {mount.id: mount.target for mount in found}
    for mounted in found:
        _leave_peers(mounted.target)
    for mounted in reversed(found):
        if mounted.parent in places:
            _leave_peers(places[mounted.parent])  # another mount may have hidden it until now
        unmount(mounted.target, lazy=True)
    return [mounted.target for mounted in reversed(found)]


def _leave_peers(target: Path) -> None:
    """What is unmounted in a mount is unmounted in its peers, too: a recursive bind of / has the host's own for them.

    (mount_namespaces(7); crun's ``criu-root`` is such a bind of the container's root directory.)
    """
    with suppress(SystemFailed):  # hidden by another mount, or gone
        make_private(target)
