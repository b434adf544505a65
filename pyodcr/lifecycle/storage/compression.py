"""Reading layers and rootfs tarballs, however they were compressed, and knowing the hashes of both forms.

The form is told by the first bytes (gzip, zstd, xz, bzip2, else none), as containers/image does: media types
and file names lie. A stream that ends too early is an error in every form.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, cast

from pyodcr.errors import ImageInvalid, SystemFailed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from zstandard import ZstdDecompressionObj

CHUNK_BYTES = 1 << 18
# A hostile zstd block of 4 bytes grows to 128 KiB, and decompressobj gives all it can at once: 64 MiB at most.
ZSTD_STEP_BYTES = 2048


class Hashed(io.RawIOBase):
    """A stream that counts and hashes what is read through it. It does not own the stream below.

    ``watch`` is told the bytes read so far, after every read.

    Where that turns out to be damaged, reading raises :class:`ImageInvalid`, its message beginning with ``where``.
    """

    def __init__(
        self, source: BinaryIO | io.BufferedIOBase, where: str, watch: Callable[[int], None] | None = None
    ) -> None:
        self._source = source
        self._where = where
        self._watch = watch
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            chunk = self._source.read(len(view))
        except _damages() as error:
            raise ImageInvalid(f"{self._where} is damaged: {str(error).lower()}") from error
        except OSError as error:
            if error.errno is None:  # gzip and bz2 complain of bad data so
                raise ImageInvalid(f"{self._where} is damaged: {str(error).lower()}") from error
            raise SystemFailed(f"cannot read {self._where}: {(error.strerror or str(error)).lower()}") from error
        view[: len(chunk)] = chunk
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        if self._watch is not None:
            self._watch(self.size_bytes)
        return len(chunk)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def drain(self) -> None:
        """Read what is left, so that size and digest are of the whole."""
        while self.read(CHUNK_BYTES):
            pass


@cache
def _damages() -> tuple[type[Exception], ...]:
    import lzma
    import zlib

    from zstandard import ZstdError

    return EOFError, zlib.error, lzma.LZMAError, ZstdError


class _Zstandard(io.RawIOBase):
    """A row of zstd frames; python-zstandard's own reader takes a cut-off frame for a whole one."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        from zstandard import ZstdDecompressor

        self._source = source
        self._decompressor = ZstdDecompressor()
        self._frame: ZstdDecompressionObj | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready:
            chunk = self._source.read1(ZSTD_STEP_BYTES)
            if not chunk:
                if self._frame is not None:
                    raise EOFError("the last zstd frame is cut off")
                return 0
            self._ready = memoryview(b"".join(self._decompress(chunk)))
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            yield self._frame.decompress(chunk)
            chunk = b""
            if self._frame.eof:
                chunk, self._frame = self._frame.unused_data, None


def decompressed(source: io.RawIOBase) -> BinaryIO:
    """``source``, uncompressed; compressed forms are recognised by their magic numbers."""
    buffered = io.BufferedReader(source, CHUNK_BYTES)
    magic = buffered.peek(6)[:6]
    if magic.startswith(b"\x1f\x8b"):
        import gzip

        return cast(BinaryIO, gzip.GzipFile(fileobj=buffered))
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[1:4] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        return io.BufferedReader(_Zstandard(buffered), CHUNK_BYTES)
    if magic == b"\xfd7zXZ\x00":
        import lzma

        return cast(BinaryIO, lzma.LZMAFile(buffered))
    if magic.startswith(b"BZh"):
        import bz2

        return cast(BinaryIO, bz2.BZ2File(buffered))
    return buffered
