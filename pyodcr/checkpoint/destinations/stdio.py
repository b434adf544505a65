"""Archives through pipes: ``-`` is standard input and output, and a path may lead to a FIFO, a device or a descriptor.

What is written here is gone when it is written: there is no name to make it whole under, nothing to abort but to
stop, and no way to restore from it later. ``commit`` says that the reader of a pipe has taken the last byte (what it
does with it is its own affair), and, where the descriptor turns out to be a file, that it is on disk.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pyodcr.checkpoint.destinations import descriptors
from pyodcr.checkpoint.destinations.base import Bytes, ObjectInfo
from pyodcr.config import Config
from pyodcr.errors import DestinationError
from pyodcr.jsonio import now

BUFFER_BYTES = 1 << 20
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")


class StreamUpload:
    def __init__(self, fd: int, url: str) -> None:
        self._fd = fd
        self._url = url
        self._size_bytes = 0

    def write(self, data: Bytes) -> int:
        written = descriptors.write_all(self._fd, data, self._url)
        self._size_bytes += written
        return written

    def recovery(self) -> Mapping[str, str]:
        return {"scheme": "-"}

    def commit(self) -> ObjectInfo:
        mode = os.fstat(self._fd).st_mode
        if stat.S_ISFIFO(mode):
            descriptors.drain(self._fd, self._url)
        elif stat.S_ISREG(mode):  # pyodcr ... > file
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise descriptors.failed("write", self._url, error) from error
        return ObjectInfo(self._url, self._size_bytes, now(), "")


class StreamDestination:
    """``reading`` and ``writing`` each give a descriptor of our own for the stream."""

    durable = False

    def __init__(self, url: str, *, reading: Callable[[], int], writing: Callable[[], int]) -> None:
        self.url = url
        self._reading = reading
        self._writing = writing

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        os.close(self._open(self._writing, "write"))

    @contextmanager
    def put(self) -> Iterator[StreamUpload]:
        fd = self._open(self._writing, "write")
        try:
            yield StreamUpload(fd, self.url)
        finally:
            os.close(fd)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        fd = self._open(self._reading, "read")
        with io.BufferedReader(descriptors.Reader(fd, self.url), BUFFER_BYTES) as stream:
            yield stream

    def stat(self) -> ObjectInfo | None:
        return None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(())

    def delete(self) -> None:
        return

    def _open(self, opener: Callable[[], int], action: str) -> int:
        try:
            fd = opener()
        except OSError as error:
            raise descriptors.failed(action, self.url, error) from error
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        problem = hint = None
        if os.isatty(fd):
            direction = "to" if action == "write" else "from"
            problem = f"refusing to {action} an archive {direction} a terminal"
            hint = "redirect it to a file or a pipe, or name a file instead"
        elif mode == (os.O_RDONLY if action == "write" else os.O_WRONLY):
            problem = f"cannot {action} {self.url}: it is not open for that"
        if problem:
            os.close(fd)
            raise DestinationError(problem, code="destination-denied", hint=hint)
        return fd


class StdioDestination(StreamDestination):
    """``-``. The descriptors are parameters so that a caller can hand us a channel of its own."""

    def __init__(self, *, stdin: int = 0, stdout: int = 1) -> None:
        super().__init__("-", reading=lambda: _duplicate(stdin), writing=lambda: _duplicate(stdout))

    @classmethod
    def from_url(cls, text: str, config: Config) -> StdioDestination:
        return cls()

    @staticmethod
    def abort(recovery: Mapping[str, str], config: Config) -> None:
        """What went down a pipe cannot be called back; its reader finds the archive cut short."""


class FifoDestination(StreamDestination):
    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path), reading=lambda: _opened(path, os.O_RDONLY), writing=lambda: _opened(path, os.O_WRONLY)
        )

    def check(self) -> None:
        # Opening it would wait for a reader, and closing it again would tell that reader it is over.
        if not os.access(self.url, os.W_OK):
            raise DestinationError(f"cannot write {self.url}: permission denied", code="destination-denied")


def special(path: Path) -> StreamDestination | None:
    """The stream that ``path`` leads to; None where it leads to a file, be it there or not."""
    if (number := _descriptor(path)) is not None:
        return StreamDestination(str(path), reading=lambda: _duplicate(number), writing=lambda: _duplicate(number))
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if stat.S_ISFIFO(mode):
        return FifoDestination(path)
    if stat.S_ISCHR(mode):
        return StreamDestination(
            str(path), reading=lambda: _opened(path, os.O_RDONLY), writing=lambda: _opened(path, os.O_WRONLY)
        )
    return None


def _descriptor(path: Path) -> int | None:
    """The descriptor of ours that ``path`` stands for. It is duplicated, since opening it by name fails for sockets,
    and would cut or overwrite the file at its beginning where it is one."""
    found = _DESCRIPTOR.fullmatch(str(path))
    return int(found[1]) if found else _STANDARD.get(str(path))


def _duplicate(fd: int) -> int:
    # Closed at our start, its number may belong to the database by now.
    if fd < 3 and (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd] is None:
        raise OSError(errno.EBADF, "it is closed")
    return os.dup(fd)


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY)
