"""Advisory file locks (flock(2)): gone when their holder dies, whatever kills it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyodcr.linux import files


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold ``path`` exclusively for the length of the block, waiting for it as long as need be.

    The file may be removed with the thing it guards, so after locking we look whether it is
    still the file of that name, and start again if it is not.
    """
    fd = _acquire(path)
    try:
        yield
    finally:
        os.close(fd)


def _acquire(path: Path) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            files.make_directory(path.parent)
            continue
        except OSError as error:
            raise files.failed("lock", path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            held, named = os.fstat(fd), os.stat(path)
            if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
