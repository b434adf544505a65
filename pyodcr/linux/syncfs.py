"""syncfs(2): a whole tree made durable at once, where an fsync for each of its files would take minutes."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from pyodcr.linux import files


def sync(path: Path) -> None:
    """Write out the filesystem that holds ``path``."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise files.failed("sync", path, OSError(number, os.strerror(number)))
    finally:
        os.close(fd)
