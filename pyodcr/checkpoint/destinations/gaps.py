"""Leaving bytes out of an upload until they are known, while what follows them is already there.

The header of a tar entry holds its size, and CRIU's images grow while they are archived. A file can leave room for it;
what takes bytes in order only gets them in order, and all waits in staging until the sizes are known. So does S3: its
parts may come in any order, but some servers (rclone) hold each until the one before has come, and would never take
the parts behind one that is held back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from pyodcr.checkpoint.archive.streams import SinkWithGaps
from pyodcr.checkpoint.destinations.base import Bytes, Upload
from pyodcr.linux import files, holes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BLOCK_BYTES = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


@runtime_checkable
class PatientUpload(Upload, Protocol):
    """One that can leave out bytes and take them later."""

    def reserve(self, size: int) -> Callable[[Bytes], None]:
        """Leave out the next ``size`` bytes, one such gap at a time; what takes them, at the latest before commit."""
        ...


def patient(upload: Upload, directory: Path) -> SinkWithGaps:
    """``upload`` itself if it can leave bytes out, else a spool in ``directory`` that does."""
    return cast(SinkWithGaps, upload if isinstance(upload, PatientUpload) else Spool(upload, directory))


def release(sink: SinkWithGaps) -> None:
    """No more bytes are left out: what waited for them goes on its way."""
    if isinstance(sink, Spool):
        sink.release()


def drop(sink: SinkWithGaps) -> None:
    """Give back what waits, if it was never released; nothing may be written any more."""
    if isinstance(sink, Spool):
        sink.close()


class Spool:
    """Over an upload in order: until it is released all waits in an unnamed file of ``directory``, not in memory.

    So it may be written to by any thread: a pipe that nobody reads stops only the one that releases it.
    """

    def __init__(self, upload: Upload, directory: Path) -> None:
        self._upload = upload
        self._directory = directory
        self._size_bytes = 0
        self._fd: int | None = self._do(os.open, directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)

    def write(self, data: ReadableBuffer, /) -> int:
        if self._fd is None:
            return self._upload.write(memoryview(data))
        written = self._do(os.pwrite, self._fd, data, self._size_bytes)
        self._size_bytes += written
        return written

    def reserve(self, size: int) -> Callable[[bytes], None]:
        fd, offset = self._fd, self._size_bytes
        if fd is None:
            raise RuntimeError("released: bytes can no longer be left out")
        self._size_bytes += size

        def fill(data: bytes) -> None:
            if self._do(os.pwrite, fd, data, offset) != size:
                raise ValueError(f"{len(data)} bytes for a gap of {size}, or no space for them")

        return fill

    def release(self) -> None:
        """Pass on what waited, block by block, each given back; from now on all is passed on at once."""
        if self._fd is None:
            return
        for offset in range(0, self._size_bytes, BLOCK_BYTES):
            count = min(BLOCK_BYTES, self._size_bytes - offset)
            self._upload.write(self._do(os.pread, self._fd, count, offset))
            self._do(holes.punch, self._fd, offset, count)
        self.close()

    def close(self) -> None:
        """Drop what waits."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            raise files.failed("write", self._directory, error) from error
