"""Reads below a root that somebody else fills, with every link resolved as within that root.

A container may make its /etc/passwd a link to the host's, or change a directory into a link while we look. The
kernel resolves links as for a process chrooted there (openat2, RESOLVE_IN_ROOT), and nothing can race it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyodcr.errors import SystemFailed
from pyodcr.linux import files
from pyodcr.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

# ENXIO: a socket, or a device without a driver; ELOOP: links in a circle, or a magic one
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ELOOP})


def read(root: Path, path: str, *, limit_bytes: int) -> bytes | None:
    """The content of a regular file; None where there is none, whatever else stands in its place."""
    place = root / path.lstrip("/")
    try:
        fd = _open(root, path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise files.failed("read", place, error) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as stream:
            content = stream.read(limit_bytes + 1)
    finally:
        os.close(fd)
    if len(content) > limit_bytes:
        raise SystemFailed(f"{place} is larger than {limit_bytes} bytes")
    return content


@contextmanager
def directory(root: Path, path: str) -> Iterator[int | None]:
    """A descriptor of a directory for the length of a ``with`` block; None where there is none."""
    try:
        fd = _open(root, path, os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise files.failed("read", root / path.lstrip("/"), error) from error
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root: Path, path: str, flags: int = 0) -> int:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # non-blocking: a FIFO's reader would wait for a writer
        flags |= os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        return openat2(fd, path.lstrip("/") or ".", flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    finally:
        os.close(fd)
