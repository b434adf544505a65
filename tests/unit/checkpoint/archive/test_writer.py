from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.checkpoint.archive.writer import ArchiveWriter, Body
from pyodcr.errors import ArchiveInvalid, SystemFailed, UsageError

from .samples import CONFIG, CREATED, SOURCE, SPEC, TIMES, contents, written

MIB = 1 << 20
EVERY = pytest.mark.parametrize("compression", list(Compression))


def filled(sink: BinaryIO, **options: object) -> ArchiveWriter:
    """A writer with the two entries that every archive has."""
    archive = ArchiveWriter(sink, created=CREATED, **options)  # type: ignore[arg-type]
    archive.add_bytes("config.dump", CONFIG)
    archive.add_bytes("spec.dump", SPEC)
    return archive


def bare(data: bytes, compression: Compression) -> bytes:
    """The tar, by the compressor's own program."""
    if compression is Compression.NONE:
        return data
    return subprocess.run([compression, "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@EVERY
def test_what_goes_in_comes_out(compression: Compression, tmp_path: Path) -> None:
    pages = os.urandom(MIB) + bytes(4 * MIB) + os.urandom(5 * MIB + 17)
    (tmp_path / "pages").write_bytes(pages)
    sink = io.BytesIO()
    told: list[int] = []
    with filled(sink, compression=compression, progress=told.append) as archive:
        archive.add_directory("checkpoint")
        archive.add_file("checkpoint/pages-1.img", tmp_path / "pages")
        archive.add_symlink("checkpoint/parent", "../pre-checkpoint")
        archive.add_stream("volumes/data.tar", 3000, lambda body: [body.write(b"abc") for _ in range(1000)])
        archive.add_bytes("deleted.files", b"", mode=0o644)
        manifest = archive.finish(SOURCE, TIMES)

    reader = ArchiveReader(io.BytesIO(sink.getvalue()))
    seen = [(entry.name, entry.kind, entry.mode, entry.target, entry.read()) for entry in reader]
    assert seen == [
        ("config.dump", Kind.FILE, 0o600, "", CONFIG),
        ("spec.dump", Kind.FILE, 0o600, "", SPEC),
        ("checkpoint", Kind.DIRECTORY, 0o700, "", b""),
        ("checkpoint/pages-1.img", Kind.FILE, 0o600, "", pages),
        ("checkpoint/parent", Kind.SYMLINK, 0o777, "../pre-checkpoint", b""),
        ("volumes/data.tar", Kind.FILE, 0o600, "", b"abc" * 1000),
        ("deleted.files", Kind.FILE, 0o644, "", b""),
    ]
    assert reader.verified
    assert reader.manifest == manifest
    assert reader.compression == compression
    assert manifest.source == SOURCE
    assert manifest.times == TIMES
    assert manifest.created == CREATED
    assert archive.bytes_out == reader.bytes_in == len(sink.getvalue())
    assert archive.bytes_in == len(bare(sink.getvalue(), compression))
    assert sum(told) == len(CONFIG + SPEC + pages) + 3000


@EVERY
def test_offsets_lead_to_the_data(compression: Compression) -> None:
    data = written({"ctr.log": os.urandom(3 * MIB), "deleted.files": b"[]"}, compression=compression)
    manifest = verify(io.BytesIO(data))
    assert manifest is not None
    plain = bare(data, compression)
    for entry in manifest.entries:
        assert plain[entry.offset : entry.offset + entry.size] == contents(data)[entry.name]


@EVERY
def test_other_programs_read_it(compression: Compression, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(written({"ctr.log": os.urandom(5 * MIB)}, compression=compression))
    if compression is not Compression.NONE:
        subprocess.run([compression, "-tq"], stdin=path.open("rb"), check=True)
    plain = bare(path.read_bytes(), compression)
    names = ["config.dump", "spec.dump", "ctr.log", "pyodcr.json"]
    listing = subprocess.run(["tar", "-t"], input=plain, capture_output=True, check=True)
    assert (listing.stdout.decode().split(), listing.stderr) == (names, b"")
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert archive.getnames() == names
        content = archive.extractfile("config.dump")
        assert content is not None
        assert content.read() == CONFIG


def test_every_zstd_frame_stands_alone_under_the_seek_table() -> None:
    """The table as the format's own text tells to read it: from the end."""
    sink = io.BytesIO()
    with filled(sink) as archive:
        archive.add_bytes("ctr.log", b"log" * 1000)
        archive.add_stream("checkpoint/pages-1.img", 9 * MIB, lambda body: body.write(bytes(9 * MIB)))
        archive.add_bytes("deleted.files", b"[]")
        archive.add_bytes("stats-dump", os.urandom(MIB - 4096))
        archive.finish(SOURCE, TIMES)
    data = sink.getvalue()
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    assert (descriptor, magic) == (0, 0x8F92EAB1)
    table = data[-9 - 8 * count - 8 :]
    assert struct.unpack("<II", table[:8]) == (0x184D2A5E, len(table) - 8)

    frames, position = [], 0
    for compressed, size in struct.iter_unpack("<II", table[8:-9]):
        raw = data[position : position + compressed]
        frame = zstandard.get_frame_parameters(raw)
        assert frame.has_checksum
        assert frame.content_size == size
        frames.append(zstandard.ZstdDecompressor().decompress(raw))
        position += compressed
    assert position == len(data) - len(table)
    assert b"".join(frames) == bare(data, Compression.ZSTD)
    shared = 2 * 1024 + 512 + 3072  # config.dump, spec.dump and ctr.log together
    small = 1024 + 512 + MIB - 4096  # deleted.files and stats-dump, below 1 MiB
    assert [len(frame) for frame in frames[:-1]] == [shared, 512, 4 * MIB, 4 * MIB, MIB, small]
    assert frames[1].startswith(b"checkpoint/pages-1.img\0")
    assert frames[-1].startswith(b"pyodcr.json\0")
    assert b'"name":"config.dump"' in data, "the last frame is readable as it stands"


def test_a_full_shared_frame_makes_way_for_the_next(small_frames: None) -> None:
    data = written({"stats-dump": bytes(512), "ctr.log": b"x", "deleted.files": b"[]"})
    manifest = verify(io.BytesIO(data))
    assert manifest is not None
    assert manifest.frames.count == 3  # config + spec, stats + half of the room, the others


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.GZIP])
def test_the_same_input_makes_the_same_bytes(compression: Compression, small_frames: None) -> None:
    files = {"ctr.log": bytes(range(256)) * 200, "stats-dump": b"s" * 9999}
    assert written(files, compression=compression) == written(files, compression=compression)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(max_size=20_000), max_size=6),
    st.sampled_from(Compression),
    st.sampled_from([512, 1024, 4096, 1 << 22]),
    st.integers(0, 3000),
)
def test_any_sizes_round_trip(blobs: list[bytes], compression: Compression, frame: int, shared: int) -> None:
    files = {f"checkpoint/core-{number}.img": blob for number, blob in enumerate(blobs)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyodcr.checkpoint.archive.writer.FRAME_BYTES", frame)
        patch.setattr("pyodcr.checkpoint.archive.writer.SHARED_FRAME_BYTES", min(shared, frame))
        patch.setattr("pyodcr.checkpoint.archive.decode.SHARED_FRAME_BYTES", min(shared, frame))
        data = written(files, compression=compression)
        assert contents(data) == {"config.dump": CONFIG, "spec.dump": SPEC, **files}
        assert verify(io.BytesIO(data)) is not None


def test_a_log_that_grows_is_taken_as_long_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "ctr.log"
    log.write_bytes(b"a" * (2 * MIB))
    sink = io.BytesIO()
    with filled(sink) as archive:

        def grow(_: int) -> None:
            with log.open("ab") as more:
                more.write(b"b" * MIB)

        archive.progress = grow
        archive.add_file("ctr.log", log)
        archive.finish({}, {})
    assert log.stat().st_size > 2 * MIB
    assert contents(sink.getvalue())["ctr.log"] == b"a" * (2 * MIB)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    path.write_bytes(bytes(9 * MIB))
    shrink = filled(io.BytesIO())
    shrink.progress = lambda _: os.truncate(path, MIB)
    with pytest.raises(SystemFailed) as caught, shrink as archive:
        archive.add_file("ctr.log", path)
    assert caught.value.code == "archive-source-changed"
    assert "ctr.log" in caught.value.message


@pytest.mark.parametrize("gives", [b"", b"1234", b"123456"])
def test_a_stream_gives_what_it_promised(gives: bytes) -> None:
    with pytest.raises(SystemFailed) as caught, filled(io.BytesIO()) as archive:
        archive.add_stream("ctr.log", 5, lambda body: body.write(gives))
    assert caught.value.code == "archive-source-changed"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    with filled(io.BytesIO()) as archive:
        for name in ("link", "fifo", ".", "missing"):
            with pytest.raises(SystemFailed) as caught:
                archive.add_file("ctr.log", tmp_path / name)
            assert str(tmp_path) in caught.value.message
        archive.finish({}, {})  # none of them left a trace


def test_an_entry_left_unfinished_taints_the_archive() -> None:
    sink = io.BytesIO()
    archive = filled(sink)
    with pytest.raises(SystemFailed):
        archive.add_stream("ctr.log", 5, lambda body: None)
    with pytest.raises(RuntimeError, match="left unfinished"), archive:
        archive.finish({}, {})
    assert sink.getvalue() == b""


def test_nothing_may_follow_the_end() -> None:
    sink = io.BytesIO()
    with filled(sink) as archive:
        archive.finish({}, {})
        whole = sink.getvalue()
        with pytest.raises(RuntimeError, match="finished"):
            archive.add_bytes("ctr.log", b"x")
        with pytest.raises(RuntimeError, match="finished"):
            archive.finish({}, {})
    assert sink.getvalue() == whole


def test_leaving_without_an_end_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="without finish"), filled(io.BytesIO()):
        pass


def test_an_exception_stops_the_threads_and_the_output() -> None:
    sink = io.BytesIO()

    def produce(body: Body) -> None:
        for _ in range(40):
            body.write(os.urandom(MIB))
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), filled(sink) as archive:
        archive.add_stream("ctr.log", 64 * MIB, produce)
    assert threading.active_count() == before
    with pytest.raises(ArchiveInvalid) as caught:
        verify(io.BytesIO(sink.getvalue()))
    assert caught.value.code == "archive-truncated"


def test_names_that_the_reader_would_refuse_are_not_written() -> None:
    with filled(io.BytesIO()) as archive:
        for name in ("../x", "pyodcr.json", "config.dump", "volumes/../x.tar", "bin/ls", "checkpoint"):
            with pytest.raises(ArchiveInvalid):
                archive.add_bytes(name, b"")
        with pytest.raises(ArchiveInvalid):
            archive.add_symlink("checkpoint/parent", "/etc")
        archive.finish({}, {})


def test_an_archive_needs_config_and_spec() -> None:
    archive = ArchiveWriter(io.BytesIO())
    archive.add_bytes("config.dump", CONFIG)
    with pytest.raises(ArchiveInvalid, match=r"spec\.dump"), archive:
        archive.finish({}, {})


def test_levels_are_checked_at_the_door() -> None:
    for compression, level in ((Compression.ZSTD, 20), (Compression.ZSTD, 0), (Compression.GZIP, 10)):
        with pytest.raises(UsageError, match=f"no level {level}"):
            ArchiveWriter(io.BytesIO(), compression=compression, level=level)


def test_a_higher_level_is_smaller() -> None:
    text = Path(os.__file__).read_bytes() * 3
    assert len(written({"ctr.log": text}, level=9)) < len(written({"ctr.log": text}, level=1))


class Grudging(io.RawIOBase):
    """A raw sink that takes a few bytes at a time, and no more than ``room`` of them."""

    def __init__(self, room: int) -> None:
        self.taken = bytearray()
        self.room = room

    def write(self, data: object, /) -> int:
        piece = bytes(cast(bytes, data))[: min(1000, self.room - len(self.taken))]
        if not piece:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.taken += piece
        return len(piece)


def archive_into(sink: object) -> None:
    with filled(cast(BinaryIO, sink)) as archive:
        archive.add_bytes("ctr.log", os.urandom(2 * MIB))
        archive.finish({}, {})


def test_a_raw_sink_may_take_a_part() -> None:
    sink = Grudging(10 * MIB)
    archive_into(sink)
    assert verify(io.BytesIO(bytes(sink.taken))) is not None


def test_an_error_of_the_sink_passes_unchanged() -> None:
    with pytest.raises(OSError) as caught:
        archive_into(Grudging(MIB))
    assert caught.value.errno == errno.ENOSPC


def test_a_sink_that_does_not_wait_is_no_sink() -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    with open(read_end, "rb"), open(write_end, "wb", buffering=0) as sink:
        with pytest.raises(BlockingIOError):
            archive_into(sink)


def test_the_programs_are_here() -> None:
    assert [name for name in ("zstd", "gzip", "tar") if shutil.which(name) is None] == []
