"""The row of frames: made on threads, written in order, logged on both sides.

Each frame is hashed where it is compressed or decompressed, on the worker; the row's own digest is the hash of
these hashes. So the whole archive is under one hash without anybody hashing it from end to end.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from pyodcr.checkpoint.archive.compression import Encoder
from pyodcr.checkpoint.archive.conveyor import Conveyor
from pyodcr.checkpoint.archive.invalid import hostile
from pyodcr.checkpoint.archive.limits import MAX_FRAMES
from pyodcr.checkpoint.archive.streams import Sink, SinkWithGaps, write_all
from pyodcr.linux import heap

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DIGEST_BYTES = 32


class FrameLog:
    """The sizes and SHA-256 digests of all frames of an archive so far: 48 bytes for 4 MiB of tar."""

    def __init__(self, max_frames: int = MAX_FRAMES) -> None:
        self._max_frames = max_frames
        self._sizes = array("Q")
        self._digests = bytearray()

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_BYTES

    def add(self, raw_bytes: int, content_bytes: int, digest: bytes) -> int:
        """Note one more frame; its index."""
        if len(self) == self._max_frames:
            raise hostile(f"more than {self._max_frames} frames")
        self._sizes.extend((raw_bytes, content_bytes))
        self._digests += digest
        return len(self) - 1

    def correct(self, index: int, digest: bytes) -> None:
        """The digest of a frame that was noted before its bytes were known."""
        self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] = digest

    def sizes(self, count: int) -> Iterator[tuple[int, int]]:
        """(compressed, content) bytes of the first ``count`` frames."""
        return zip(self._sizes[0 : 2 * count : 2], self._sizes[1 : 2 * count : 2], strict=True)

    def digest(self, index: int) -> bytes:
        return bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def row_digest(self, count: int) -> str:
        """The hash, in hexadecimal, of the hashes of the first ``count`` frames."""
        return hashlib.sha256(self._digests[: count * DIGEST_BYTES]).hexdigest()


@dataclass(frozen=True, slots=True)
class _Frame:
    raw: bytes
    content_bytes: int
    digest: bytes


class Blank:
    """A frame of a known size whose bytes come later; until then its place in the sink is kept free."""

    def __init__(self, raw_bytes: int, content_bytes: int) -> None:
        self.raw_bytes = raw_bytes
        self.content_bytes = content_bytes
        self._raw: bytes | None = None
        self._put: Callable[[bytes], None] | None = None

    def fill(self, raw: bytes) -> None:
        if len(raw) != self.raw_bytes:
            raise ValueError(f"{len(raw)} bytes for a blank of {self.raw_bytes}")
        self._raw = raw
        if self._put is not None:
            self._put(raw)

    def place(self, sink: Sink, log: FrameLog) -> None:
        """Its turn in the row has come: written if it is known by now, else left out for as long as it is not."""
        if self._raw is not None:
            write_all(sink, self._raw)
            log.add(self.raw_bytes, self.content_bytes, hashlib.sha256(self._raw).digest())
            return
        fill = cast(SinkWithGaps, sink).reserve(self.raw_bytes)
        index = log.add(self.raw_bytes, self.content_bytes, bytes(DIGEST_BYTES))

        def put(raw: bytes) -> None:
            fill(raw)
            log.correct(index, hashlib.sha256(raw).digest())

        self._put = put


class FrameWriter:
    """Pieces of the tar in, frames out to the sink; a few of them in flight.

    Pieces are built in buffers of ours, which are used again: fresh memory for each would cost a tenth of the time.
    A sink must be a :class:`~pyodcr.checkpoint.archive.streams.SinkWithGaps` if a blank is not filled at once.
    """

    def __init__(self, sink: Sink, encode: Encoder | None, frame_bytes: int) -> None:
        heap.keep_freed()
        self._sink = sink
        self._encode = encode
        self._frame_bytes = frame_bytes
        self._free: list[bytearray] = []
        self._conveyor: Conveyor[_Frame | Blank] = Conveyor()
        self._stopped = False
        self.log = FrameLog()
        self.bytes_out = 0

    def buffer(self) -> bytearray:
        """Room for one frame; it comes back through :meth:`add`."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self._frame_bytes)

    def add(self, buffer: bytearray, size: int) -> None:
        """One frame of the first ``size`` bytes of ``buffer``, which is ours again from now on."""
        if self._encode is None:
            with memoryview(buffer)[:size] as content:
                self.write_raw(content)
            self._free.append(buffer)
            return
        self._conveyor.submit(partial(self._make, self._encode, size), buffer)
        self._write_finished(keep=self._conveyor.threads)

    def add_blank(self, blank: Blank) -> None:
        if self._encode is None:
            self._write(blank)
        else:
            self._conveyor.submit(_itself, blank)

    def drain(self) -> None:
        """Return when every frame is with the sink, and in the log."""
        self._write_finished(keep=0)

    def write_raw(self, data: ReadableBuffer) -> None:
        self._require_going()
        write_all(self._sink, data)
        self.bytes_out += memoryview(data).nbytes

    def stop(self) -> None:
        """Write nothing more, not even for a thread that is still in one of the methods here."""
        self._stopped = True
        self._conveyor.stop()

    def _require_going(self) -> None:
        if self._stopped:
            raise RuntimeError("the archive was given up")

    def _make(self, encode: Encoder, size: int, buffer: bytearray) -> _Frame:
        with memoryview(buffer)[:size] as content:
            raw = encode(content)
        self._free.append(buffer)
        return _Frame(raw, size, hashlib.sha256(raw).digest())

    def _write_finished(self, *, keep: int) -> None:
        for frame in self._conveyor.results(keep=keep):
            self._write(frame)

    def _write(self, frame: _Frame | Blank) -> None:
        if isinstance(frame, Blank):
            self._require_going()
            frame.place(self._sink, self.log)
            self.bytes_out += frame.raw_bytes
        else:
            self.write_raw(frame.raw)
            self.log.add(len(frame.raw), frame.content_bytes, frame.digest)


def _itself(blank: Blank) -> Blank:
    return blank
