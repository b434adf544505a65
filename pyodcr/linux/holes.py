"""fallocate(2) with FALLOC_FL_PUNCH_HOLE: the middle of a file given back, its size and the rest as they were."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return libc


def punch(fd: int, offset: int, size: int) -> bool:
    """Give back ``size`` bytes of a file open for writing; False where the filesystem cannot. Raises OSError."""
    mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    while _libc().fallocate64(fd, mode, offset, size) != 0:
        number = ctypes.get_errno()
        if number == errno.EOPNOTSUPP:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True
