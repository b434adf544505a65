"""The row of frames: made on threads, written in order, logged on both sides.

Each frame is hashed where it is compressed or decompressed, on the worker; the row's own digest is the hash of
these hashes. So the whole archive is under one hash without anybody hashing it from end to end.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pyodcr.checkpoint.archive.compression import Encoder
from pyodcr.checkpoint.archive.conveyor import Conveyor
from pyodcr.checkpoint.archive.invalid import hostile
from pyodcr.checkpoint.archive.limits import MAX_FRAMES
from pyodcr.checkpoint.archive.streams import Sink, write_all

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

    def add(self, raw_bytes: int, content_bytes: int, digest: bytes) -> None:
        if len(self) == self._max_frames:
            raise hostile(f"more than {self._max_frames} frames")
        self._sizes.extend((raw_bytes, content_bytes))
        self._digests += digest

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


class FrameWriter:
    """Pieces of the tar in, frames out to the sink, at most two per thread in flight."""

    def __init__(self, sink: Sink, encode: Encoder | None) -> None:
        self._sink = sink
        self._encode = encode
        self._conveyor: Conveyor[_Frame] = Conveyor()
        self.log = FrameLog()
        self.bytes_out = 0

    def add(self, content: bytearray) -> None:
        """One frame of ``content``, which is ours from now on."""
        if self._encode is None:
            self.write_raw(content)
            return
        self._conveyor.submit(partial(_make, self._encode), content)
        self._write_finished(keep=2 * self._conveyor.threads - 1)

    def drain(self) -> None:
        """Return when every frame is with the sink, and in the log."""
        self._write_finished(keep=0)

    def write_raw(self, data: ReadableBuffer) -> None:
        write_all(self._sink, data)
        self.bytes_out += memoryview(data).nbytes

    def stop(self) -> None:
        self._conveyor.stop()

    def _write_finished(self, *, keep: int) -> None:
        for frame in self._conveyor.results(keep=keep):
            self.write_raw(frame.raw)
            self.log.add(len(frame.raw), frame.content_bytes, frame.digest)


def _make(encode: Encoder, content: bytearray) -> _Frame:
    raw = encode(content)
    return _Frame(raw, len(content), hashlib.sha256(raw).digest())
