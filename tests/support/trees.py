"""Directory trees as values, to compare all that an archive must keep of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pyodcr.linux import mounts, xattrs

# volatile: without it each unmount waits for the whole filesystem to be written
OVERLAY_OPTIONS = "redirect_dir=off,metacopy=off,index=off,volatile"
_BLOCK = 4096


class Node(NamedTuple):
    """A file of whatever kind; ``content`` of a regular one is the hash of its non-zero blocks and where they are."""

    mode: str
    uid: int
    gid: int
    mtime_ns: int
    content: object
    xattrs: dict[str, bytes]


@dataclass(frozen=True)
class Overlay:
    merged: Path
    upper: Path
    lowers: list[Path]


@contextlib.contextmanager
def overlay(place: Path, lowers: list[Path], *, keep: bool = False) -> Iterator[Overlay]:
    """An overlay with a new upper directory, mounted in ``place``, which goes with it unless ``keep``."""
    merged, upper, work = place / "merged", place / "upper", place / "work"
    for path in (merged, upper, work):
        path.mkdir(parents=True)
        path.chmod(stat.S_IMODE(lowers[0].stat().st_mode))
    options = f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work},{OVERLAY_OPTIONS}"
    mounts.mount("overlay", merged, "overlay", options=options)
    try:
        yield Overlay(merged, upper, lowers)
    finally:
        mounts.unmount(merged)
        if not keep:
            shutil.rmtree(place)


def snapshot(root: Path) -> dict[str, object]:
    """Everything below ``root`` but sockets, by path; ``hard links`` are the sets of names of one file."""
    found: dict[str, object] = {}
    links: dict[tuple[int, int], set[str]] = {}
    for directory, directories, files, fd in os.fwalk(root):
        for name in [*directories, *files]:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISSOCK(info.st_mode):
                continue
            path = os.path.relpath(os.path.join(directory, name), root)
            found[path] = Node(
                stat.filemode(info.st_mode),
                info.st_uid,
                info.st_gid,
                info.st_mtime_ns,
                _content(fd, name, info),
                xattrs.read(f"/proc/self/fd/{fd}/{name}"),
            )
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                links.setdefault((info.st_dev, info.st_ino), set()).add(path)
    found["hard links"] = {frozenset(names) for names in links.values() if len(names) > 1}
    return found


def allocated(root: Path) -> dict[str, int]:
    """Bytes that the regular files below ``root`` take on the disk."""
    found = {}
    for directory, _, files, fd in os.fwalk(root):
        for name in files:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode):
                found[os.path.relpath(os.path.join(directory, name), root)] = info.st_blocks * 512
    return found


def _content(fd: int, name: str, info: os.stat_result) -> object:
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(name, dir_fd=fd)
    if stat.S_ISREG(info.st_mode):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        try:
            return info.st_size, _digest(file, info.st_size)
        finally:
            os.close(file)
    return None if stat.S_ISDIR(info.st_mode) else info.st_rdev


def _digest(file: int, size: int) -> str:
    digest = hashlib.sha256()
    position = 0
    while position < size:
        try:
            position = os.lseek(file, position, os.SEEK_DATA) // _BLOCK * _BLOCK
        except OSError:  # nothing but a hole up to the end
            break
        block = os.pread(file, _BLOCK, position)
        if block.strip(b"\0"):
            digest.update(b"%d:%d:" % (position, len(block)) + block)
        position += _BLOCK
    return digest.hexdigest()
