"""The seek table that closes an archive: zstd's seekable format 0.1.0, without its optional checksums.

::

    5E 2A 4D 18 | size of the rest, u32 | (compressed u32, decompressed u32) per frame | frames u32 | 00 | B1 EA 92 8F

It is a skippable frame, so every zstd reader passes over it. The frames have checksums of their own.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

from pyodcr.checkpoint.archive.invalid import malformed, tampered
from pyodcr.checkpoint.archive.streams import read_at

SKIPPABLE_MAGIC = 0x184D2A5E
FOOTER_MAGIC = 0x8F92EAB1

_HEADER = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")


def build(frames: Iterable[tuple[int, int]]) -> bytes:
    """The table of frames given as (compressed, decompressed) sizes in bytes."""
    try:
        entries = b"".join(_ENTRY.pack(*sizes) for sizes in frames)
    except struct.error as error:
        raise malformed("a frame of more than 4 GiB") from error
    footer = _FOOTER.pack(len(entries) // _ENTRY.size, 0, FOOTER_MAGIC)
    return _HEADER.pack(SKIPPABLE_MAGIC, len(entries) + len(footer)) + entries + footer


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where each frame begins, in the archive and in the tar; both have one more item, the end."""

    compressed: array[int]
    content: array[int]

    def __len__(self) -> int:
        return len(self.content) - 1

    def frame_at(self, offset: int) -> int:
        """The frame that holds the tar's byte ``offset``."""
        return bisect_right(self.content, offset) - 1

    def compressed_bytes(self, frame: int) -> int:
        return self.compressed[frame + 1] - self.compressed[frame]

    def content_bytes(self, frame: int) -> int:
        return self.content[frame + 1] - self.content[frame]


def load(source: BinaryIO, *, max_frames: int) -> SeekTable | None:
    """The table at the end of a seekable source; None where there is none, or none of our kind."""
    end = source.seek(0, os.SEEK_END)
    if end < _HEADER.size + _FOOTER.size:
        return None
    count, descriptor, magic = _FOOTER.unpack(read_at(source, end - _FOOTER.size, _FOOTER.size))
    if magic != FOOTER_MAGIC or descriptor != 0:
        return None
    entries_bytes = count * _ENTRY.size
    start = end - _FOOTER.size - entries_bytes - _HEADER.size
    if not 0 < count <= max_frames or start < 0:
        raise tampered(f"a seek table of {count} frames")
    table = read_at(source, start, _HEADER.size + entries_bytes)
    sizes = array("I", table[_HEADER.size :])
    if sys.byteorder == "big":
        sizes.byteswap()
    found = SeekTable(_starts(sizes[0::2]), _starts(sizes[1::2]))
    header = _HEADER.pack(SKIPPABLE_MAGIC, entries_bytes + _FOOTER.size)
    if table[: _HEADER.size] != header or found.compressed[-1] != start:
        raise tampered("its seek table does not fit its frames")
    return found


def _starts(sizes: array[int]) -> array[int]:
    return array("Q", accumulate(sizes, initial=0))
