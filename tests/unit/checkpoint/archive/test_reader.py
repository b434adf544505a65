from __future__ import annotations

import gzip
import io
import os
import threading
from typing import BinaryIO, cast

import pytest
import zstandard

from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.errors import ArchiveInvalid, DestinationError

from .samples import CONFIG, SPEC, contents, written

MIB = 1 << 20
LOG = os.urandom(100_000)
EVERY = pytest.mark.parametrize("compression", list(Compression))


@EVERY
def test_an_entry_is_hashed_whether_read_or_not(compression: Compression, small_frames: None) -> None:
    data = written({"ctr.log": LOG, "stats-dump": LOG[::-1], "deleted.files": b"[]"}, compression=compression)
    reader = ArchiveReader(io.BytesIO(data))
    for entry in reader:
        if entry.name == "ctr.log":
            assert entry.read(10) + entry.read(4096) == LOG[:4106]
        if entry.name == "stats-dump":
            assert b"".join(iter(lambda entry=entry: entry.read(999), b"")) == LOG[::-1]  # type: ignore[misc]
            assert entry.read() == b""
    assert reader.verified


def test_a_passed_entry_cannot_be_read() -> None:
    entries = iter(ArchiveReader(io.BytesIO(written())))
    first = next(entries)
    second = next(entries)
    with pytest.raises(ValueError, match="passed over"):
        first.read()
    assert second.read() == SPEC


def test_small_entries_have_a_limit() -> None:
    reader = ArchiveReader(io.BytesIO(written({"ctr.log": LOG})))
    log = next(entry for entry in reader if entry.name == "ctr.log")
    with pytest.raises(ArchiveInvalid) as caught:
        log.read_all(50_000)
    assert caught.value.code == "archive-hostile"
    assert "ctr.log" in caught.value.message
    reader.close()
    assert [entry.read_all() for entry in ArchiveReader(io.BytesIO(written({"ctr.log": LOG})))][-1] == LOG


def test_copy_to_a_raw_pipe_gives_all() -> None:
    read_end, write_end = os.pipe()
    got: list[bytes] = []
    with open(read_end, "rb") as pipe:
        thread = threading.Thread(target=lambda: got.append(pipe.read()))
        thread.start()
        with open(write_end, "wb", buffering=0) as sink:
            for entry in ArchiveReader(io.BytesIO(written({"ctr.log": LOG}))):
                entry.copy_to(sink)
        thread.join()
    assert got == [CONFIG + SPEC + LOG]


class Dribble:
    """A source that gives one byte at a time and has no read1."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1))


@EVERY
def test_a_source_may_dribble(compression: Compression) -> None:
    data = written({"ctr.log": b"log" * 100}, compression=compression)
    assert verify(cast(BinaryIO, Dribble(data))) is not None


def test_the_first_entries_do_not_wait_for_the_rest() -> None:
    """Somebody may look at config.dump before the sender goes on."""
    data = written({"ctr.log": os.urandom(3 * MIB)})
    first_frame = data.index(b"\x28\xb5\x2f\xfd", 4)
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as source, open(write_end, "wb") as sender:
        sender.write(data[:first_frame])
        sender.flush()
        reader = ArchiveReader(source)
        entries = iter(reader)
        assert next(entries).read() == CONFIG
        assert next(entries).read() == SPEC
        reader.close()


def test_leaving_early_releases_the_threads_and_vouches_for_nothing() -> None:
    reader = ArchiveReader(io.BytesIO(written({"ctr.log": os.urandom(20 * MIB), "stats-dump": b""})))
    for entry in reader:
        if entry.name == "ctr.log":
            entry.read(5 * MIB)
            assert [thread for thread in threading.enumerate() if thread.name.startswith("archive")]
            break
    reader.close()
    assert not reader.verified
    assert reader.manifest is None


def test_a_second_loop_finds_nothing() -> None:
    reader = ArchiveReader(io.BytesIO(written()))
    assert len(list(reader)) == 2
    assert list(reader) == []
    assert reader.verified


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.GZIP])
def test_out_of_its_wrapping_it_is_still_verified(compression: Compression) -> None:
    data = written({"ctr.log": LOG}, compression=compression)
    plain = (
        zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        if (compression is Compression.ZSTD)
        else gzip.decompress(data)
    )
    for wrapped in (plain, gzip.compress(plain) if compression is Compression.ZSTD else zstandard.compress(plain)):
        reader = ArchiveReader(io.BytesIO(wrapped))
        assert len(list(reader)) == 3
        assert reader.verified


def test_compressed_anew_it_is_not_what_we_wrote() -> None:
    plain = gzip.decompress(written({"ctr.log": LOG}, compression=Compression.GZIP))
    with pytest.raises(ArchiveInvalid) as caught:
        verify(io.BytesIO(gzip.compress(plain)))
    assert caught.value.code == "archive-tampered"


def test_an_error_of_the_source_is_named() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 500:
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read1(300)

    with pytest.raises(DestinationError, match="connection reset by peer"):
        verify(Broken(written()))


def test_a_source_that_does_not_wait_is_no_source() -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    with open(read_end, "rb", buffering=0) as source, open(write_end, "wb"):
        with pytest.raises(DestinationError, match="does not wait"):
            verify(cast(BinaryIO, source))


def test_contents_of_the_large() -> None:
    """Real sizes: several frames in flight."""
    log = os.urandom(MIB) * 30
    assert contents(written({"ctr.log": log}))["ctr.log"] == log
