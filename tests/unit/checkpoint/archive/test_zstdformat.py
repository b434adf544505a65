from __future__ import annotations

import io
import os
import subprocess

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pyodcr.checkpoint.archive import zstdformat
from pyodcr.errors import ArchiveInvalid


def frames(content: bytes) -> list[bytes]:
    """One content in all the forms a header can take."""
    found = [
        zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=size).compress(content)
        for checksum in (False, True)
        for size in (False, True)
    ]
    compressor = zstandard.ZstdCompressor().compressobj()
    return [*found, compressor.compress(content) + compressor.flush(), zstdformat.store(content)]


@settings(max_examples=30, deadline=None)
@given(
    st.binary(min_size=1, max_size=2000)
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=200), st.integers(1, 20_000))
)
def test_a_frame_ends_where_it_ends(content: bytes) -> None:
    for raw in frames(content):
        source = io.BytesIO(raw + b"next")
        header = zstdformat.read_header(source.read)
        blocks = b"".join(zstdformat.read_blocks(header, source.read))
        assert header.raw + blocks == raw
        assert header.content_bytes in (None, len(content))
        assert header.window_bytes == zstandard.get_frame_parameters(raw).window_size
        assert source.read() == b"next"


@pytest.mark.parametrize("size", [1, 1000, 128 << 10, (128 << 10) + 1, 1 << 20])
def test_stored_frames_are_read_by_all(size: int) -> None:
    content = os.urandom(size)
    raw = zstdformat.store(content)
    assert zstandard.ZstdDecompressor().stream_reader(raw).read() == content
    assert zstandard.get_frame_parameters(raw).has_checksum
    assert subprocess.run(["zstd", "-dc"], input=raw, stdout=subprocess.PIPE, check=True).stdout == content
    assert zstdformat.unstore(raw) == content
    assert content[:100] in raw


@pytest.mark.parametrize(
    "raw", [b"", b"x" * 9, b"x" * 100, zstandard.compress(b"content"), zstandard.compress(bytes(999))]
)
def test_other_frames_are_not_stored_ones(raw: bytes) -> None:
    assert zstdformat.unstore(raw) is None


def test_every_bit_of_a_stored_frame_counts() -> None:
    raw = bytearray(zstdformat.store(b"pyodcr" * 30))
    for position in range(len(raw) * 8):
        raw[position // 8] ^= 1 << position % 8
        assert zstdformat.unstore(bytes(raw)) is None
        raw[position // 8] ^= 1 << position % 8


@pytest.mark.parametrize("block", [b"\x06\0\0", b"\xff\xff\xff", b"\x0d\x00\x10"])
def test_blocks_that_cannot_be(block: bytes) -> None:
    source = io.BytesIO(zstdformat.MAGIC + b"\x00\x00" + block + bytes(1 << 20))
    header = zstdformat.read_header(source.read)
    with pytest.raises(ArchiveInvalid):
        list(zstdformat.read_blocks(header, source.read))


def test_skippable_frames_are_told_by_their_magic() -> None:
    assert all(zstdformat.is_skippable(bytes([0x50 | nibble]) + b"\x2a\x4d\x18") for nibble in range(16))
    for other in (zstdformat.MAGIC, b"\x60\x2a\x4d\x18", b"\x50\x2a\x4d", b""):
        assert not zstdformat.is_skippable(other)
