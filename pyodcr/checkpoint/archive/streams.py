"""Bytes in from a source and out to a sink, whatever sizes the other side likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pyodcr.checkpoint.archive.invalid import truncated
from pyodcr.errors import DestinationError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READ_BYTES = 1 << 20


class Sink(Protocol):
    """Where bytes go: an open file, a pipe, an upload. Like a raw file it says how many bytes it took."""

    def write(self, data: ReadableBuffer, /) -> int | None: ...


class SinkWithGaps(Sink, Protocol):
    """A sink that can leave bytes out, and take them when what follows is already there."""

    def reserve(self, size: int) -> Callable[[bytes], None]:
        """Leave out the next ``size`` bytes; what takes them, once, before the sink is closed."""
        ...


def write_all(sink: Sink, data: ReadableBuffer) -> None:
    """Write every byte, also to a raw file, which may take a part only. Errors of the sink pass unchanged."""
    view = memoryview(data)
    while view:
        taken = sink.write(view)
        if not taken:  # None: a raw file that does not block
            raise BlockingIOError(f"the sink took {taken} of {len(view)} bytes")
        view = view[taken:]


def read_at(source: BinaryIO, offset: int, size: int) -> bytes:
    """Exactly ``size`` bytes from the place ``offset`` of a seekable source."""
    try:
        source.seek(offset)
        data = source.read(size)
    except OSError as error:
        raise _unreadable(error) from error
    if len(data) != size:
        raise truncated(offset + len(data))
    return data


class Intake:
    """A source of bytes read once from front to back: a file, a pipe, the body of a download.

    It asks for what is there (``read1``), never for a full buffer, so a slow pipe is read as it fills.
    ``offset`` counts the bytes handed out.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._read = getattr(source, "read1", source.read)
        self._chunk = b""
        self._position = 0
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """The next bytes, fewer than ``size`` only at the end of the source; they stay."""
        while len(self._chunk) - self._position < size:
            more = self._fetch()
            if not more:
                break
            self._chunk = self._chunk[self._position :] + more
            self._position = 0
        return self._chunk[self._position : self._position + size]

    def take(self, size: int) -> bytes:
        """Exactly the next ``size`` bytes, or ``archive-truncated``."""
        piece = self._chunk[self._position : self._position + size]
        self._position += len(piece)
        self.offset += len(piece)
        if len(piece) == size:
            return piece
        pieces = [piece]
        missing = size - len(piece)
        while missing:
            piece = self.some(missing)
            if not piece:
                raise truncated(self.offset)
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def some(self, limit: int = READ_BYTES) -> bytes:
        """The next bytes as they come, at most ``limit``; nothing at the end of the source."""
        if self._position == len(self._chunk):
            self._chunk, self._position = self._fetch(), 0
        piece = self._chunk[self._position : self._position + limit]
        self._position += len(piece)
        self.offset += len(piece)
        return piece

    def give_back(self, size: int) -> None:
        """Undo the last ``size`` bytes of the latest :meth:`some`."""
        self._position -= size
        self.offset -= size

    def _fetch(self) -> bytes:
        try:
            data: bytes | None = self._read(READ_BYTES)
        except OSError as error:
            raise _unreadable(error) from error
        if data is None:
            raise DestinationError("cannot read the archive: its source does not wait for data")
        return data


def _unreadable(error: OSError) -> DestinationError:
    reason = (error.strerror or str(error)).lower()
    return DestinationError(f"cannot read the archive: {reason}", errno=error.errno)
