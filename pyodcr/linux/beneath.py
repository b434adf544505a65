"""openat2(2): open a path beneath a directory, with no symbolic link followed anywhere on the way.

A container's own tree is hostile ground: whoever runs in it may swap any component of a path for a
link to the host between our look and our step (CVE-2019-18466 was such a thing). The kernel refuses
it here in one call, however deep the path, where a walk of our own would hold a descriptor a level.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINTR
from functools import cache

SYS_OPENAT2 = 437  # the same number on every architecture; Linux 5.6
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = [
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.POINTER(_OpenHow),
        ctypes.c_size_t,
    ]
    libc.syscall.restype = ctypes.c_long
    return libc


def open_fd(root: int, path: str, flags: int) -> int:
    """A descriptor of ``path`` (relative; ``.`` is ``root`` itself), opened as open(2) would with ``flags``.

    Raises :class:`OSError`: ELOOP where a component is a symbolic link, EXDEV where the path leads out.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH)
    while True:
        fd: int = _libc().syscall(SYS_OPENAT2, root, os.fsencode(path), how, ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number != EINTR:
            raise OSError(number, os.strerror(number), path)


@contextmanager
def directory(root: int, path: str) -> Iterator[int]:
    """A descriptor of a directory for the length of a ``with`` block."""
    fd = open_fd(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def stat(root: int, path: str) -> os.stat_result:
    """What ``path`` itself is; a symbolic link at its end is one, not what it points to."""
    fd = open_fd(root, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)
