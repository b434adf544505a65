"""Every form is recognised by its bytes, hashed on both sides, and refused when it is cut off."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from pyodcr.errors import ImageInvalid
from pyodcr.lifecycle.storage.compression import Hashed, decompressed

CONTENT = random.Random(1).randbytes(300_000) + bytes(400_000)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_frames(data: bytes) -> bytes:
    """As an archive of ours: several frames, then a skippable one."""
    parts = [zstd(data[at : at + 100_000]) for at in range(0, len(data), 100_000)]
    return b"".join(parts) + b"\x5e\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"seek"


def plain(data: bytes) -> bytes:
    return data


FORMS = [plain, gzip.compress, bz2.compress, lzma.compress, zstd, zstd_frames]


@pytest.mark.parametrize("compress", FORMS)
def test_reads_and_hashes_every_form(compress: Callable[[bytes], bytes]) -> None:
    blob = compress(CONTENT)
    outer = Hashed(io.BytesIO(blob), "x")
    inner = Hashed(decompressed(outer), "x")
    assert inner.read(100) == CONTENT[:100]
    assert inner.read() == CONTENT[100:]
    assert inner.digest == "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    assert inner.size_bytes == len(CONTENT)
    assert outer.digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert outer.size_bytes == len(blob)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("damage", [lambda blob: blob[:-1], lambda blob: blob[: len(blob) // 2]])
def test_a_cut_off_stream_is_an_error(compress: Callable[[bytes], bytes], damage: Callable[[bytes], bytes]) -> None:
    blob = damage(compress(CONTENT))
    with pytest.raises(ImageInvalid, match="layer 1 is damaged"):
        Hashed(decompressed(Hashed(io.BytesIO(blob), "blob")), "layer 1").drain()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_changed_stream_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    blob = bytearray(compress(CONTENT))
    blob[len(blob) // 2] ^= 0xFF
    with pytest.raises(ImageInvalid, match="layer 1 is damaged"):
        Hashed(decompressed(Hashed(io.BytesIO(bytes(blob)), "blob")), "layer 1").drain()


def test_an_empty_stream_is_empty() -> None:
    inner = Hashed(decompressed(Hashed(io.BytesIO(b""), "x")), "x")
    inner.drain()
    assert (inner.size_bytes, inner.digest) == (0, "sha256:" + hashlib.sha256(b"").hexdigest())
