"""As much of the zstd format as we need to see where a frame ends (RFC 8878), and to store one uncompressed.

Blocks are not decoded here; libzstd does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyodcr.checkpoint.archive.invalid import tampered

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE_MASK = 0xFFFFFFF0
SKIPPABLE_MAGIC = 0x184D2A50
MAX_BLOCK_BYTES = 128 << 10

_RAW, _RLE, _RESERVED = 0, 1, 3
_CHECKSUM_BYTES = 4

# A stored frame's magic and descriptor (a content size of four bytes, a checksum, no dictionary), and a window of
# 128 KiB; its content size follows.
STORED_PREFIX = MAGIC + b"\x84\x38"


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """``content_bytes`` is None where the encoder did not know how much would come; ``window_bytes`` is the memory
    that a decoder needs."""

    raw: bytes
    content_bytes: int | None
    window_bytes: int
    checksum: bool


def is_skippable(magic: bytes) -> bool:
    return len(magic) == 4 and int.from_bytes(magic, "little") & SKIPPABLE_MASK == SKIPPABLE_MAGIC


def read_header(take: Callable[[int], bytes]) -> FrameHeader:
    """The header of the frame whose magic is next."""
    start = take(5)
    descriptor = start[4]
    single_segment = bool(descriptor & 0x20)
    size_flag = descriptor >> 6
    size_bytes = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    rest = take((not single_segment) + dictionary_bytes + size_bytes)
    content: int | None = None
    if size_bytes:
        content = int.from_bytes(rest[-size_bytes:], "little") + (256 if size_bytes == 2 else 0)
    if single_segment:
        window = content or 0
    else:
        base = 1 << (10 + (rest[0] >> 3))
        window = base + (base >> 3) * (rest[0] & 7)
    return FrameHeader(start + rest, content, window, checksum=bool(descriptor & 4))


def read_blocks(header: FrameHeader, take: Callable[[int], bytes]) -> Iterator[bytes]:
    """The rest of the frame in pieces that expand to at most 128 KiB each: its blocks, then the checksum."""
    last = 0
    while not last:
        head = take(3)
        word = int.from_bytes(head, "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == _RESERVED or size > MAX_BLOCK_BYTES:
            raise tampered("a zstd block that cannot be")
        yield head + take(1 if kind == _RLE else size)
    if header.checksum:
        yield take(_CHECKSUM_BYTES)


def store(content: bytes) -> bytes:
    """A frame of ``content``, which is not empty, uncompressed, with its checksum: one form, whatever the libzstd."""
    import zstandard

    # The checksum is over the content (XXH64), so that of any other frame with this content serves.
    checksum = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)[-_CHECKSUM_BYTES:]
    frame = bytearray(STORED_PREFIX + len(content).to_bytes(4, "little"))
    for start in range(0, len(content), MAX_BLOCK_BYTES):
        block = content[start : start + MAX_BLOCK_BYTES]
        last = start + len(block) == len(content)
        frame += (len(block) << 3 | _RAW << 1 | last).to_bytes(3, "little") + block
    return bytes(frame) + checksum


def unstore(raw: bytes) -> bytes | None:
    """The content of a frame that :func:`store` made; None for any other."""
    blocks = raw[len(STORED_PREFIX) + 4 : -_CHECKSUM_BYTES]
    starts = range(3, len(blocks), 3 + MAX_BLOCK_BYTES)
    content = b"".join(blocks[start : start + MAX_BLOCK_BYTES] for start in starts)
    return content if store(content) == raw else None
