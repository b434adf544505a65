from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint.archive import seektable
from pyodcr.errors import ArchiveInvalid

SIZES = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 5000)), min_size=1, max_size=30)


def test_the_bytes_of_the_format() -> None:
    table = seektable.build([(10, 100), (20, 200)])
    assert table.hex(" ", -4) == ("5e2a4d18 19000000 0a000000 64000000 14000000 c8000000 02000000 00b1ea92 8f")


@given(SIZES)
def test_what_is_built_is_loaded(sizes: list[tuple[int, int]]) -> None:
    body = bytes(sum(compressed for compressed, _ in sizes))
    table = seektable.load(io.BytesIO(body + seektable.build(sizes)), max_frames=30)
    assert table is not None
    assert [(table.compressed_bytes(i), table.content_bytes(i)) for i in range(len(table))] == sizes
    assert table.compressed[-1] == len(body)
    for offset in range(0, table.content[-1], 97):
        frame = table.frame_at(offset)
        assert table.content[frame] <= offset < table.content[frame + 1]


@pytest.mark.parametrize("data", [b"", b"x" * 16, b"x" * 17, b"x" * 100])
def test_without_a_footer_there_is_none(data: bytes) -> None:
    assert seektable.load(io.BytesIO(data), max_frames=9) is None


def test_tables_with_checksums_are_others() -> None:
    data = bytearray(bytes(10) + seektable.build([(10, 1)]))
    data[-5] = 0x80
    assert seektable.load(io.BytesIO(data), max_frames=9) is None


@pytest.mark.parametrize(
    "data",
    [
        bytes(9) + seektable.build([(10, 1)]),
        bytes(11) + seektable.build([(10, 1)]),
        b"x" + seektable.build([(10, 1)])[1:],
        bytes(30) + seektable.build([(10, 1)] * 10),
        seektable.build([]),
        bytes(17) + struct.pack("<IBI", 1 << 31, 0, seektable.FOOTER_MAGIC),
        bytes(17) + struct.pack("<IBI", 5, 0, seektable.FOOTER_MAGIC),
    ],
)
def test_tables_that_do_not_fit(data: bytes) -> None:
    with pytest.raises(ArchiveInvalid):
        seektable.load(io.BytesIO(data), max_frames=9)


def test_frames_beyond_the_format() -> None:
    with pytest.raises(ArchiveInvalid, match="4 GiB"):
        seektable.build([(1, 1 << 32)])
