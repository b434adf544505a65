"""Archives to test with: made by our writer, by tarfile, and by hand."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import zstandard

from pyodcr.checkpoint.archive import headers
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.writer import ArchiveWriter

CREATED = datetime(2026, 11, 23, 17, 0, 0, 123456, tzinfo=UTC)
SOURCE = {"kernel": "6.18.5", "cpu": {"model": "x", "flags": ["avx2"]}}
TIMES = {"frozen": 0.25}

CONFIG = b'{"id": "c0ffee", "name": "redis"}'
SPEC = b'{"process": {}}'
REQUIRED = {"config.dump": CONFIG, "spec.dump": SPEC}


def written(files: Mapping[str, bytes] = {}, *, compression: Compression = Compression.ZSTD, level: int = 3) -> bytes:
    """An archive of ours with config.dump, spec.dump and ``files``; always the same bytes."""
    sink = io.BytesIO()
    with ArchiveWriter(sink, compression=compression, level=level, created=CREATED) as archive:
        for name, data in {**REQUIRED, **files}.items():
            archive.add_bytes(name, data)
        archive.finish(SOURCE, TIMES)
    return sink.getvalue()


def contents(data: bytes | bytearray) -> dict[str, bytes]:
    """All files of an archive, by one reader, to the end."""
    return {entry.name: entry.read() for entry in ArchiveReader(io.BytesIO(data))}


def tar(
    files: Mapping[str, bytes] = {}, *, extra: Iterable[tarfile.TarInfo] = (), form: int = tarfile.PAX_FORMAT
) -> bytes:
    """A bare tar by the standard library, as Podman would hold it: no pyodcr.json."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in {**REQUIRED, **files}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), int(CREATED.timestamp())
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return sink.getvalue()


def raw_tar(*members: tuple[Member, bytes]) -> bytes:
    """A bare tar of our own headers, which are not checked here, and whatever data is given with them."""
    blocks = [headers.build(member) + data + bytes(headers.padding(len(data))) for member, data in members]
    return b"".join(blocks) + headers.END_OF_ARCHIVE


def one_frame(content: bytes) -> bytes:
    """As Podman and ``zstd < pipe`` write it: a single frame of unknown length."""
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    return compressor.compress(content) + compressor.flush()
