"""Our tar against everybody else's: Python's tarfile and GNU tar read what we write, we read what they write."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyodcr.lifecycle.storage import tar
from pyodcr.lifecycle.storage.tar import Entry, Kind, TarInvalid
from pyodcr.lifecycle.storage.tar_reader import TarReader, clean_name

SECOND = 1_000_000_000

# Anything a Linux directory can hold as a name, at any length.
components = st.binary(min_size=1, max_size=120).map(lambda raw: os.fsdecode(raw.translate(None, b"\0/") or b"x"))
names = (
    st.lists(components, min_size=1, max_size=4).map("/".join).filter(lambda name: not {".", ".."} & {*name.split("/")})
)
xattr_names = st.one_of(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=20),
    st.text("%253D=", min_size=1, max_size=12),
)
common = {
    "name": names,
    "mode": st.integers(0, 0o7777),
    "uid": st.integers(0, 2**32 - 2),
    "gid": st.integers(0, 2**32 - 2),
    "mtime_ns": st.integers(-(2**40) * SECOND, 2**40 * SECOND),
    "xattrs": st.dictionaries(xattr_names.map("user.".__add__), st.binary(max_size=40), max_size=3),
}
entries = st.one_of(
    st.builds(Entry, kind=st.just(Kind.FILE), size=st.integers(0, 2000), **common),
    st.builds(Entry, kind=st.sampled_from([Kind.DIRECTORY, Kind.FIFO]), **common),
    st.builds(Entry, kind=st.just(Kind.HARD_LINK), target=names, **common),
    st.builds(Entry, kind=st.just(Kind.SYMLINK), target=names.map("/../".__add__), **common),
    st.builds(
        Entry,
        kind=st.sampled_from([Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE]),
        device=st.builds(os.makedev, st.integers(0, 2**12 - 1), st.integers(0, 2**20 - 1)),
        **common,
    ),
)


def stream(*found: Entry) -> bytes:
    parts = [tar.header(entry) + b"d" * entry.data_bytes + bytes(tar.padding(entry.data_bytes)) for entry in found]
    return b"".join(parts) + tar.END


def read(data: bytes) -> list[Entry]:
    return list(TarReader(io.BytesIO(data)))


@settings(deadline=None)
@given(st.lists(entries, max_size=5))
@example([Entry("big", Kind.FILE, 0o600, 0, 0, 0, size=9 << 30, segments=((0, 5), (9 << 30, 0)))])
def test_what_is_written_is_read(found: list[Entry]) -> None:
    assert read(stream(*found)) == found


@settings(deadline=None)
@given(entries)
def test_pythons_tarfile_reads_it(entry: Entry) -> None:
    with tarfile.open(fileobj=io.BytesIO(stream(entry)), encoding="utf-8", errors="surrogateescape") as archive:
        (info,) = archive.getmembers()
    assert (info.name, info.mode, info.uid, info.gid) == (entry.name, entry.mode, entry.uid, entry.gid)
    assert (info.type, info.size, info.linkname) == (entry.kind.encode(), entry.size, entry.target)
    assert info.mtime == pytest.approx(entry.mtime_ns / SECOND)
    assert (info.devmajor, info.devminor) == (os.major(entry.device), os.minor(entry.device))


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 2**50])
def test_a_size_of_any_size(size: int) -> None:
    header = tar.header(Entry("big", Kind.FILE, 0o644, 0, 0, 0, size=size))
    reader = iter(TarReader(io.BytesIO(header)))
    assert next(reader).size == size
    assert tarfile.TarFile.open(fileobj=io.BytesIO(header)).next().size == size  # type: ignore[union-attr]


def test_the_data_can_be_had_or_left() -> None:
    archive = stream(Entry("a", Kind.FILE, 0o644, 0, 0, 0, size=700), Entry("b", Kind.FILE, 0o644, 0, 0, 0, size=3))
    for wanted in (0, 1, 700):
        reader = TarReader(io.BytesIO(archive))
        found = [b"".join(reader.chunks(min(wanted, entry.size))) for entry in reader]
        assert found == [b"d" * wanted, b"d" * min(wanted, 3)]


# --- other programs' archives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pythons_archives(format_: Literal[0, 1, 2]) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format_) as archive:
        for name, kind in [("./", tarfile.DIRTYPE), ("./a", tarfile.REGTYPE), ("d" * 90 + "/" + "e" * 90, b"2")]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.uid, info.mtime = kind, "l" * 90, 1234, 1.0
            archive.addfile(info)
        if format_ != tarfile.USTAR_FORMAT:
            info = tarfile.TarInfo("n" * 400)
            info.type, info.linkname, info.uid = tarfile.SYMTYPE, "t" * 400, 2**31
            archive.addfile(info)
    found = read(raw.getvalue())
    assert [entry.name for entry in found[:3]] == [".", "a", "d" * 90 + "/" + "e" * 90]
    assert [entry.kind for entry in found[:3]] == [Kind.DIRECTORY, Kind.FILE, Kind.SYMLINK]
    assert (found[2].target, found[2].uid, found[2].mtime_ns) == ("l" * 90, 1234, SECOND)
    for entry in found[3:]:
        assert (entry.name, entry.target, entry.uid) == ("n" * 400, "t" * 400, 2**31)


@pytest.mark.parametrize(
    "notation",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
@pytest.mark.parametrize("pieces", [1, 3, 40])
def test_files_with_holes_from_gnu_tar(tmp_path: Path, notation: list[str], pieces: int) -> None:
    path = tmp_path / ("long" * 30)
    with path.open("wb") as file:
        for index in range(pieces):
            file.seek(index << 17)
            file.write(b"piece %d" % index)
        file.truncate((pieces + 1) << 17)
    raw = subprocess.run(["tar", "-C", tmp_path, "-S", *notation, "-cf-", path.name], capture_output=True, check=True)
    reader = TarReader(io.BytesIO(raw.stdout))
    for entry in reader:
        content = bytearray(entry.size)
        for offset, length in entry.data:
            content[offset : offset + length] = b"".join(reader.chunks(length))
        assert entry.name == path.name
        assert content == path.read_bytes()
        assert entry.segments is not None
        assert entry.data_bytes < entry.size


def test_our_files_with_holes_in_gnu_tar_and_python(tmp_path: Path) -> None:
    segments = ((0, 512), (1 << 20, 1024), (3 << 20, 0))
    entry = Entry("s" * 200, Kind.FILE, 0o644, 0, 0, 0, size=3 << 20, segments=segments)
    archive = tmp_path / "x.tar"
    archive.write_bytes(tar.header(entry) + b"a" * 512 + b"b" * 1024 + tar.END)
    expected = bytearray(3 << 20)
    expected[:512], expected[1 << 20 : (1 << 20) + 1024] = b"a" * 512, b"b" * 1024
    subprocess.run(["tar", "-C", tmp_path, "-xf", archive], check=True)
    assert (tmp_path / entry.name).read_bytes() == expected
    with tarfile.open(archive) as python:
        extracted = python.extractfile(entry.name)
        assert extracted is not None
        assert extracted.read() == expected


def test_global_headers_are_passed_over() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c0ffee"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    assert [entry.name for entry in read(raw.getvalue())] == ["a"]


def test_an_archive_from_before_posix() -> None:
    def old(name: bytes) -> bytes:
        block = bytearray(512)
        block[: len(name)], block[100:107], block[124:135], block[148:156] = name, b"0000755", b"0" * 11, b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    found = read(old(b"usr/") + old(b"usr/file") + tar.END)
    assert [(entry.name, entry.kind) for entry in found] == [("usr", Kind.DIRECTORY), ("usr/file", Kind.FILE)]


# --- hostile archives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"..", b"../a", b"a/..", b"a/../b", b"/..", b"a\0b"])
def test_names_that_lead_out_are_refused(name: bytes) -> None:
    with pytest.raises(TarInvalid):
        clean_name(name)


@pytest.mark.parametrize(
    ("name", "clean"), [(b"/etc//passwd/", "etc/passwd"), (b"./a/./b", "a/b"), (b"", "."), (b"/", "."), (b"..a", "..a")]
)
def test_names_are_made_relative(name: bytes, clean: str) -> None:
    assert clean_name(name) == clean


def test_every_cut_is_noticed() -> None:
    whole = stream(
        Entry("a" * 200, Kind.FILE, 0o644, 0, 0, 5, size=700),
        Entry("s", Kind.FILE, 0o644, 0, 0, 0, size=9000, segments=((4096, 10), (9000, 0))),
        Entry("d", Kind.DIRECTORY, 0o755, 0, 0, 0),
    )
    for cut in range(len(whole)):
        with pytest.raises(TarInvalid):
            read(whole[:cut])


@settings(deadline=None)
@given(st.data())
def test_no_damage_is_more_than_damage(data: st.DataObject) -> None:
    whole = bytearray(
        stream(
            Entry("a" * 200, Kind.FILE, 0o644, 2**31, 0, 5, size=700, xattrs={"user.a": b"b"}),
            Entry("s", Kind.FILE, 0o644, 0, 0, 0, size=9000, segments=((4096, 10), (9000, 0))),
            Entry("d", Kind.SYMLINK, 0o755, 0, 0, 0, target="x" * 101),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    for start in range(0, len(whole), 512):  # with the sums mended, what is behind them is reached
        if data.draw(st.booleans()) and any(whole[start : start + 512]):
            whole[start + 148 : start + 156] = b" " * 8
            whole[start + 148 : start + 156] = b"%06o\0 " % sum(whole[start : start + 512])
    with contextlib.suppress(TarInvalid):  # and nothing else
        read(bytes(whole))


def header_of(kind: str, size: int, content: bytes = b"", name: bytes = b"x") -> bytes:
    """A header that claims what it likes."""
    block = bytearray(tar.header(Entry(os.fsdecode(name), Kind.FILE, 0o644, 0, 0, 0)))
    block[156:157], block[124:136], block[148:156] = kind.encode(), b"%011o\0" % size, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(tar.padding(len(content)))


class Endless:
    """Zeros for ever, counting what is asked for at once."""

    def __init__(self, start: bytes) -> None:
        self.start = io.BytesIO(start)
        self.largest = 0

    def read(self, size: int, /) -> bytes:
        self.largest = max(self.largest, size)
        return self.start.read(size).ljust(size, b"7")


@pytest.mark.parametrize("kind", ["x", "g", "L", "K"])
def test_a_huge_header_is_not_even_read(kind: str) -> None:
    source = Endless(header_of(kind, 8**11 - 1))
    with pytest.raises(TarInvalid, match="over 1048576 bytes"):
        list(TarReader(source))
    assert source.largest == 512


def test_many_small_headers_are_a_huge_one() -> None:
    records = b"".join(b"21 user.%07d=abcd\n" % number for number in range(20_000))[:420_000]
    with pytest.raises(TarInvalid, match="over 1048576 bytes"):
        read(header_of("x", len(records), records) * 3 + tar.END)


def test_a_sparse_map_without_an_end_is_refused() -> None:
    records = b"".join(b"%d %s\n" % (len(text) + 4, text) for text in (b"GNU.sparse.major=1", b"GNU.sparse.realsize=9"))
    source = Endless(header_of("x", len(records), records) + header_of("0", 8**11 - 1))
    with pytest.raises(TarInvalid, match="sparse map"):
        list(TarReader(source))
    assert source.largest <= 1 << 20


@pytest.mark.parametrize(
    "segments",
    [((10, 5), (0, 5)), ((0, 10), (5, 5)), ((0, 10), (9000, 1)), ((2**62, 10),)],
    ids=["backwards", "overlapping", "beyond-the-end", "far-beyond"],
)
def test_impossible_sparse_maps_are_refused(segments: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(TarInvalid, match="sparse map"):
        read(stream(Entry("s", Kind.FILE, 0o644, 0, 0, 0, size=9000, segments=segments)))


@pytest.mark.parametrize(
    "record",
    [
        b"x path=a\n", b"8 path=a\n", b"99 path=a\n", b"11 path=abc", b"0 =\n", b"5 a\n\n", b"-5 a=b\n",
        b"13 size=-999\n", b"15 uid=4294967295\n"[:14], b"14 mtime=never\n"[:14], b"\xff" * 20, b"12 path=a\0b\n",
    ],
)  # fmt: skip
def test_malformed_records_are_refused(record: bytes) -> None:
    with pytest.raises(TarInvalid):
        read(header_of("x", len(record), record) + header_of("0", 0) + tar.END)


def test_records_for_nothing_are_refused() -> None:
    record = b"10 path=a\n"
    with pytest.raises(TarInvalid):
        read(header_of("x", len(record), record) + tar.END)
