from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from pyodcr.checkpoint.archive import seektable
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.index import Index, open_entry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.checkpoint.archive.writer import ArchiveWriter
from pyodcr.errors import ArchiveInvalid, NotFound, SystemFailed

from .samples import CONFIG, SPEC, one_frame, tar, written

MIB = 1 << 20
FILES = {
    "ctr.log": b"log" * 1000,
    "checkpoint/pages-1.img": os.urandom(9 * MIB + 5),
    "checkpoint/pages-2.img": bytes(5 * MIB),
    "deleted.files": b"",
    "stats-dump": os.urandom(2048),
}


class Counting(io.BytesIO):
    """Knows how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_each_entry_alone() -> None:
    data = written(FILES)
    for name, content in {"config.dump": CONFIG, "spec.dump": SPEC, **FILES}.items():
        source = Counting(data)
        with open_entry(source, name) as entry:
            assert (entry.name, entry.kind, entry.size) == (name, Kind.FILE, len(content))
            assert entry.read() == content
            assert entry.read() == b""
        needed = len(content) if len(content) > MIB else MIB
        assert source.taken < needed + 300_000


def test_the_index_is_two_reads_at_the_end() -> None:
    source = Counting(written(FILES))
    index = Index.load(source)
    assert index is not None
    assert source.taken < 5000
    assert index.manifest == verify(io.BytesIO(source.getvalue()))


def test_several_entries_by_one_index() -> None:
    index = Index.load(io.BytesIO(written(FILES)))
    assert index is not None
    for name in ("stats-dump", "ctr.log", "stats-dump"):
        with index.open(name) as entry:
            assert entry.read(7) + entry.read() == FILES[name]


@pytest.mark.parametrize(
    "names",
    [
        ("config.dump", "ctr.log", "stats-dump"),
        ("spec.dump", "checkpoint/pages-2.img", "deleted.files"),
        ("checkpoint/pages-1.img", "checkpoint/pages-2.img"),
        tuple(FILES),
        (),
    ],
)
def test_some_entries_and_no_others(names: tuple[str, ...]) -> None:
    source = Counting(written(FILES))
    index = Index.load(source)
    assert index is not None
    contents = {"config.dump": CONFIG, "spec.dump": SPEC, **FILES}
    read = {entry.name: entry.read() for entry in index.entries(e for e in index.manifest.entries if e.name in names)}
    assert read == {name: contents[name] for name in names}
    needed = sum(len(contents[name]) for name in names)
    assert source.taken < needed + 3 * MIB, "what lies between is not read"


def test_an_entry_that_nobody_reads_is_verified_too() -> None:
    index = Index.load(io.BytesIO(written(FILES)))
    assert index is not None
    told = next(entry for entry in index.manifest.entries if entry.name == "ctr.log")
    changed = replace(told, sha256="0" * 64)
    with pytest.raises(ArchiveInvalid, match=r"ctr\.log") as caught:
        for _ in index.entries([changed]):
            pass
    assert caught.value.code == "archive-tampered"


def test_directories_and_symlinks() -> None:
    sink = io.BytesIO()
    with ArchiveWriter(sink) as archive:
        archive.add_bytes("config.dump", CONFIG)
        archive.add_bytes("spec.dump", SPEC)
        archive.add_directory("checkpoint")
        archive.add_symlink("checkpoint/parent", "../pre-checkpoint")
        archive.finish({}, {})
    with open_entry(sink, "checkpoint") as entry:
        assert (entry.kind, entry.read()) == (Kind.DIRECTORY, b"")
    with open_entry(sink, "checkpoint/parent") as entry:
        assert (entry.kind, entry.target) == (Kind.SYMLINK, "../pre-checkpoint")


def test_any_offset_any_frame(small_frames: None) -> None:
    files = {f"checkpoint/core-{number}.img": os.urandom(number * 331 % 9000) for number in range(60)}
    data = written(files)
    for name, content in files.items():
        with open_entry(io.BytesIO(data), name) as entry:
            assert entry.read() == content


@pytest.mark.parametrize(
    "make",
    [
        lambda: written(FILES, compression=Compression.GZIP),
        lambda: written(FILES, compression=Compression.NONE),
        lambda: tar(FILES),
        lambda: one_frame(tar(FILES)),
    ],
    ids=["gzip", "none", "tar", "podman"],
)
def test_other_archives_are_read_from_the_front(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(make())
    assert Index.load(io.BytesIO(make())) is None
    for name in ("config.dump", "checkpoint/pages-1.img"):
        with open_entry(path, name) as entry:
            assert entry.read() == {"config.dump": CONFIG, **FILES}[name]
    with pytest.raises(NotFound, match=r"rootfs-diff\.tar"), open_entry(path, "rootfs-diff.tar"):
        pass


def test_somebody_elses_seekable_archive_is_read_from_the_front() -> None:
    frame = one_frame(tar(FILES))
    data = frame + seektable.build([(len(frame), len(tar(FILES)))])
    with open_entry(io.BytesIO(data), "ctr.log") as entry:
        assert entry.read() == FILES["ctr.log"]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"rootfs-diff\.tar"), open_entry(io.BytesIO(written()), "rootfs-diff.tar"):
        pass
    with pytest.raises(SystemFailed, match="missing"), open_entry(tmp_path / "missing", "config.dump"):
        pass


def test_no_changed_entry_is_read_to_its_end(small_frames: None) -> None:
    """Whatever bit is flipped: it raises, or the entry is what it was."""
    data = bytearray(written({"ctr.log": os.urandom(5000)}))
    with open_entry(io.BytesIO(data), "ctr.log") as entry:
        content = entry.read()
    caught = 0
    for position in range(0, len(data) - 9, 5):
        data[position] ^= 1 << position % 8
        try:
            with open_entry(io.BytesIO(data), "ctr.log") as entry:
                assert entry.read() == content
        except ArchiveInvalid:
            caught += 1
        data[position] ^= 1 << position % 8
    assert caught > (5000 + 700) / 5


def test_cut_short_it_is_not_indexed() -> None:
    data = written(FILES)
    for cut in (1, 5, 9, 100, 1000):
        assert Index.load(io.BytesIO(data[:-cut])) is None
    with pytest.raises(ArchiveInvalid), open_entry(io.BytesIO(data[: 5 * MIB]), "stats-dump"):
        pass


def test_a_range_reader_is_source_enough(tmp_path: Path) -> None:
    """An object store gives seek and read, not more."""
    path = tmp_path / "archive"
    path.write_bytes(written(FILES))

    class Ranges:
        position = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            self.position = offset + (path.stat().st_size if whence == os.SEEK_END else 0)
            return self.position

        def read(self, size: int = -1) -> bytes:
            argv = [
                "dd",
                f"if={path}",
                f"skip={self.position}",
                f"count={size}",
                "iflag=skip_bytes,count_bytes",
                "bs=1M",
            ]
            return subprocess.run(argv, capture_output=True, check=True).stdout

    with open_entry(cast(BinaryIO, Ranges()), "checkpoint/pages-1.img") as entry:
        assert entry.read() == FILES["checkpoint/pages-1.img"]
