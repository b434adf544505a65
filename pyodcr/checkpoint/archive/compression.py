"""How a piece of the tar becomes a frame, and how a row of frames is closed.

A *frame* is a unit that is compressed alone: a zstd frame or a gzip member.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeAlias

from pyodcr.checkpoint.archive import seektable, zstdformat
from pyodcr.errors import UsageError

FRAME_BYTES = 4 << 20  # of content, at most; the last frame alone may be larger
SHARED_FRAME_BYTES = 1 << 20  # of content that small entries share

LEVEL = (
    1  # of both: a checkpoint is to be quick, and memory gains little by more (zstd 3: a tenth smaller, half as fast)
)

Encoder: TypeAlias = Callable[[memoryview], bytes]

_GZIP_WBITS = 31  # deflate in a gzip wrapping, window 32 KiB
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, no system: nothing of this host
_MAX_STORED_BYTES = 0xFFFF


class Compression(StrEnum):
    """What we write. More is read: :mod:`pyodcr.checkpoint.archive.decode`."""

    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"


# zstd above 19 buys next to nothing in 4 MiB and takes hundreds of MiB.
LEVELS = {Compression.ZSTD: range(1, 20), Compression.GZIP: range(1, 10)}


def encoder(compression: Compression, level: int) -> Encoder | None:
    """The function that makes a frame of a piece of the tar; None where pieces go out bare."""
    levels = LEVELS.get(compression)
    if levels is None:
        return None
    if level not in levels:
        raise UsageError(f"{compression} has no level {level}: it goes from {levels[0]} to {levels[-1]}")
    return _zstd(level) if compression is Compression.ZSTD else _gzip(level)


def closing(compression: Compression, tail: bytes, frames: Iterable[tuple[int, int]]) -> list[bytes]:
    """What follows ``frames``, given as (compressed, content) sizes, to close an archive whose tar ends in ``tail``.

    A pure function of its arguments: the writer appends it, a reader compares it with what it found.
    """
    last = stored(compression, tail)
    if compression is Compression.ZSTD:
        return [last, seektable.build([*frames, (len(last), len(tail))])]
    return [last]


def stored(compression: Compression, content: bytes) -> bytes:
    """A frame of ``content`` as it is, so that its size follows from that of the content."""
    if compression is Compression.ZSTD:
        return zstdformat.store(content)
    return _gzip_store(content) if compression is Compression.GZIP else content


def _zstd(level: int) -> Encoder:
    import zstandard

    # A compressor of its own for each frame: they are not for sharing between threads, and cost nothing.
    return lambda content: zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)


def _gzip(level: int) -> Encoder:
    return lambda content: zlib.compress(content, level, _GZIP_WBITS)


def _gzip_store(content: bytes) -> bytes:
    """A gzip member of stored blocks (RFC 1951 3.2.4, RFC 1952), in the one way we write it."""
    member = bytearray(_GZIP_HEADER)
    for start in range(0, len(content), _MAX_STORED_BYTES):
        block = content[start : start + _MAX_STORED_BYTES]
        size = len(block)
        member.append(start + size == len(content))  # the final block; type 00, stored
        member += size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + block
    return bytes(member) + zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
