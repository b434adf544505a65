"""Nothing in an archive of ours is harmless to change, and nothing of it can be left out."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.seektable import load
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.errors import ArchiveInvalid

from .samples import contents, written

EVERY = pytest.mark.parametrize("compression", list(Compression))

# Compresses to blocks of every kind: repeated, literal, with Huffman and with FSE tables.
SMALL = {"deleted.files": b'["/a", "/b"]' * 3}
TEXT = " ".join(str(number * number) for number in range(4000)).encode()
LARGE = {
    "ctr.log": TEXT,
    "checkpoint/pages-1.img": random.Random(1).randbytes(20_000),
    "checkpoint/pages-2.img": bytes(30_000),
    "deleted.files": b"[]",
}


def refused(data: bytes | bytearray) -> str:
    with pytest.raises(ArchiveInvalid) as caught:
        verify(io.BytesIO(data))
    assert "\n" not in caught.value.message
    return caught.value.code


@EVERY
def test_every_bit_counts(compression: Compression) -> None:
    data = bytearray(written(SMALL, compression=compression))
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            refused(data)
            data[position] ^= 1 << bit
    assert verify(io.BytesIO(data)) is not None


@EVERY
def test_a_row_of_frames_is_no_different(compression: Compression, small_frames: None) -> None:
    """Large entries, several frames of them, through the threads."""
    data = bytearray(written(LARGE, compression=compression))
    bits = random.Random(2)
    for position in bits.sample(range(len(data)), 1000):
        flip = 1 << bits.randrange(8)
        data[position] ^= flip
        refused(data)
        data[position] ^= flip


@EVERY
def test_every_cut_is_seen(compression: Compression) -> None:
    data = written(SMALL, compression=compression)
    codes = {refused(data[:size]) for size in range(len(data))}
    assert codes == {"archive-truncated"}


@EVERY
def test_every_kind_of_cut_is_seen(compression: Compression, small_frames: None) -> None:
    data = written(LARGE, compression=compression)
    sizes = set(random.Random(3).sample(range(len(data)), 500)) | set(range(len(data) - 300, len(data)))
    if compression is Compression.ZSTD:
        table = load(io.BytesIO(data), max_frames=1000)
        assert table is not None
        assert len(table) > 20
        sizes |= {start + delta for start in table.compressed for delta in (-1, 0, 1, 4) if start + delta >= 0}
    for size in sizes:
        assert refused(data[:size]) == "archive-truncated"


def test_a_truncation_says_where(small_frames: None) -> None:
    data = written(LARGE)
    with pytest.raises(ArchiveInvalid, match="cut short at byte 7000") as caught:
        verify(io.BytesIO(data[:7000]))
    assert caught.value.details == {"offset": 7000}


@EVERY
@pytest.mark.parametrize(
    "more",
    [b"\0", b"x", bytes(512), bytes(10240), b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\0\0\0\0", b"\x1f\x8b\x08"],
)
def test_nothing_may_follow(compression: Compression, more: bytes) -> None:
    refused(written(compression=compression) + more)


@EVERY
def test_an_archive_behind_an_archive(compression: Compression) -> None:
    data = written(compression=compression)
    assert refused(data + data) == "archive-tampered"
    assert refused(data[:-1] + data) != ""


def test_zeros_at_the_end_as_a_crash_may_leave_them() -> None:
    """A bare tar of ours without its manifest would be one of Podman's, but for the mark in its headers."""
    data = written(SMALL, compression=Compression.NONE)
    for keep in range(0, len(data) - 1024, 512):
        refused(data[:keep] + bytes(len(data) - keep))
    keep = data.index(b"pyodcr.json\0")
    with pytest.raises(ArchiveInvalid, match=r"pyodcr\.json is missing"):
        verify(io.BytesIO(data[:keep] + bytes(len(data) - keep)))


def test_without_its_seek_table_it_is_cut_short() -> None:
    data = written()
    table = load(io.BytesIO(data), max_frames=1000)
    assert table is not None
    assert refused(data[: table.compressed[-1]]) == "archive-truncated"


def test_frames_do_not_change_places(small_frames: None) -> None:
    """Each is whole and its checksum holds; only their row is not what was written."""
    data = written({"ctr.log": os.urandom(4096) * 4})
    table = load(io.BytesIO(data), max_frames=1000)
    assert table is not None
    frames = [data[table.compressed[i] : table.compressed[i + 1]] for i in range(len(table))]
    rest = data[table.compressed[-1] :]
    assert frames[2] == frames[3]
    assert b"".join(frames) + rest == data
    other = written({"ctr.log": os.urandom(4096) * 4})
    changes: list[Callable[[list[bytes]], object]] = [
        lambda row: row.pop(2),
        lambda row: row.insert(2, row[2]),
        lambda row: row.insert(2, b"\x5e\x2a\x4d\x18\0\0\0\0"),
        lambda row: row.__setitem__(1, row[2]),
        lambda row: row.__setitem__(2, other[table.compressed[2] : table.compressed[3]]),
        lambda row: row.reverse(),
    ]
    for change in changes:
        row = list(frames)
        change(row)
        refused(b"".join(row) + rest)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_change_passes(data: st.DataObject) -> None:
    """Whatever is cut out, put in, or written over."""
    compression = data.draw(st.sampled_from(Compression))
    whole = written(SMALL, compression=compression)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    piece = data.draw(st.binary(max_size=64) | st.sampled_from([whole[start:end] * 2, bytes(end - start)]))
    changed = whole[:start] + piece + whole[end:]
    if changed == whole:
        assert contents(changed) == contents(whole)
    else:
        refused(changed)
