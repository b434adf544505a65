from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from pyodcr.checkpoint.archive.extract import extract_to
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.writer import ArchiveWriter
from pyodcr.errors import SystemFailed

from .samples import CONFIG, SPEC, written

PAGES = os.urandom(3 << 20)


def sample() -> io.BytesIO:
    sink = io.BytesIO()
    with ArchiveWriter(sink) as archive:
        archive.add_bytes("config.dump", CONFIG, mode=0o777)
        archive.add_bytes("spec.dump", SPEC)
        archive.add_directory("checkpoint", mode=0o777)
        archive.add_symlink("checkpoint/parent", "../pre-checkpoint")
        archive.add_bytes("checkpoint/pages-1.img", PAGES)
        archive.add_bytes("volumes/data.tar", b"tar")
        archive.finish({}, {})
    sink.seek(0)
    return sink


def test_a_tree_of_ours(tmp_path: Path) -> None:
    os.umask(os.umask(0o022))
    reader = ArchiveReader(sample())
    for entry in reader:
        extract_to(entry, tmp_path)
    assert reader.verified
    assert (tmp_path / "config.dump").read_bytes() == CONFIG
    assert (tmp_path / "checkpoint/pages-1.img").read_bytes() == PAGES
    assert (tmp_path / "volumes/data.tar").read_bytes() == b"tar"
    assert (tmp_path / "checkpoint/parent").readlink() == Path("../pre-checkpoint")
    for path in tmp_path.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600)


@pytest.mark.parametrize("there", ["file", "symlink", "dangling"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    staging = tmp_path / "staging"
    staging.mkdir()
    target = staging / "config.dump"
    if there == "dangling":
        target.symlink_to(outside)
    else:
        outside.write_bytes(b"precious")
        target.symlink_to(outside) if there == "symlink" else target.write_bytes(b"precious")
    entry = next(iter(ArchiveReader(sample())))
    with pytest.raises(SystemFailed, match=r"config\.dump: file exists"):
        extract_to(entry, staging)
    assert not outside.exists() if there == "dangling" else target.read_bytes() == b"precious"


def test_no_symlink_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "checkpoint").symlink_to(outside)
    refused = []
    for entry in ArchiveReader(sample()):
        try:
            extract_to(entry, staging)
        except SystemFailed:
            refused.append(entry.name)
    assert refused == ["checkpoint", "checkpoint/parent", "checkpoint/pages-1.img"]
    assert list(outside.iterdir()) == []


def test_a_full_disk_is_named() -> None:
    entries = iter(ArchiveReader(io.BytesIO(written())))
    with pytest.raises(SystemFailed, match="/nowhere") as caught:
        extract_to(next(entries), Path("/nowhere"))
    assert caught.value.details["path"] == "/nowhere/config.dump"


def test_descriptors_are_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for entry in ArchiveReader(sample()):
        extract_to(entry, tmp_path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    "content",
    [
        bytes(9 << 20),
        PAGES + bytes(5 << 20) + PAGES,
        bytes(64 << 10) + b"x",
        b"x" + bytes(64 << 10),
        bytes((64 << 10) + 7),
        b"\0x" * (1 << 20) + b"\0" * (6 << 20) + b"x\0",
        b"",
    ],
    ids=["zeros", "within", "before", "behind", "short-end", "islands", "empty"],
)
def test_zeros_become_holes(content: bytes, tmp_path: Path) -> None:
    sink = io.BytesIO()
    with ArchiveWriter(sink) as archive:
        archive.add_bytes("config.dump", CONFIG)
        archive.add_bytes("spec.dump", SPEC)
        archive.add_bytes("checkpoint/pages-1.img", content)
        archive.finish({}, {})
    sink.seek(0)
    for entry in ArchiveReader(sink):
        extract_to(entry, tmp_path)
    found = tmp_path / "checkpoint/pages-1.img"
    assert found.read_bytes() == content
    blocks = range(0, len(content), 64 << 10)
    data = sum(64 << 10 for start in blocks if content[start : start + (64 << 10)].strip(b"\0"))
    assert found.stat().st_blocks * 512 <= data + (64 << 10)
