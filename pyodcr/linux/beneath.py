"""Paths beneath a directory, opened with no symbolic link followed anywhere on the way.

A container's own tree is hostile ground: whoever runs in it may swap any component of a path for a
link to the host between our look and our step (CVE-2019-18466 was such a thing). The kernel refuses
it here in one call, however deep the path, where a walk of our own would hold a descriptor a level.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyodcr.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

PATH_MAX = 4096  # with the zero at its end


def open_fd(root: int, path: str, flags: int) -> int:
    """A descriptor of ``path`` (relative; ``.`` is ``root`` itself), opened as open(2) would with ``flags``.

    The path may be longer than a system call takes. Raises :class:`OSError`: ELOOP where a component is a
    symbolic link, EXDEV where the path leads out.
    """
    *ways, last = pieces(path)
    here = root
    try:
        for way in ways:
            further = _open(here, way, os.O_PATH | os.O_DIRECTORY)
            if here != root:
                os.close(here)
            here = further
        return _open(here, last, flags)
    finally:
        if here != root:
            os.close(here)


def pieces(path: str) -> list[str]:
    """``path`` cut at slashes into what system calls take: a tree can be deeper than they can say."""
    found = []
    raw = os.fsencode(path)
    while len(raw) >= PATH_MAX and (cut := raw.rfind(b"/", 0, PATH_MAX)) > 0:
        found.append(os.fsdecode(raw[:cut]))
        raw = raw[cut + 1 :]
    return [*found, os.fsdecode(raw)]


@contextmanager
def directory(root: int, path: str) -> Iterator[int]:
    """A descriptor of a directory for the length of a ``with`` block."""
    fd = open_fd(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


class Directories:
    """Those beneath ``root``, a descriptor that is closed with this; the last one stays open, for more in it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = ""
        self._fd = root

    def __enter__(self) -> Directories:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    def open(self, path: str) -> int:
        """A descriptor of the directory ``path`` (``""``: the root), until the next one is asked for."""
        if path != self._path:
            self._leave()
            if path:
                self._fd = open_fd(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
                self._path = path
        return self._fd

    def _leave(self) -> None:
        if self._fd != self._root:
            os.close(self._fd)
        self._fd, self._path = self._root, ""


def stat(root: int, path: str) -> os.stat_result:
    """What ``path`` itself is; a symbolic link at its end is one, not what it points to."""
    fd = open_fd(root, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _open(root: int, path: str, flags: int) -> int:
    return openat2(root, path, flags, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH)
