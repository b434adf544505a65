"""openat2(2), which the C library has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

from pyodcr.errors import Unsupported

RESOLVE_NO_XDEV = 0x01  # not into another mount, be it one of the same filesystem
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_SYS_OPENAT2 = 437  # the same on every architecture but alpha


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t]
    libc.syscall.restype = ctypes.c_long
    return libc


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """A descriptor, close-on-exec, of ``path`` resolved as ``resolve`` allows. Raises OSError as open(2) does."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    while True:
        fd: int = _libc().syscall(_SYS_OPENAT2, directory, os.fsencode(path), how, ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            raise Unsupported("this kernel has no openat2", hint="Linux 5.6 was the first to have it")
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)
