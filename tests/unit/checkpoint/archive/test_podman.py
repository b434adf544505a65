"""Archives that others wrote."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import Callable

import pytest
import zstandard

from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.errors import ArchiveInvalid

from .samples import REQUIRED, one_frame, tar

FILES = {
    "network.status": b"null",
    "checkpoint/inventory.img": b"inventory",
    "checkpoint/pages-1.img": bytes(range(256)) * 30_000,
    "volumes/" + "v" * 120 + ".tar": b"",
    "stats-dump": b"s" * 512,
}


def directories() -> list[tarfile.TarInfo]:
    found = []
    for name in ("checkpoint", "artifacts", "volumes"):
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, 0o700
        found.append(info)
    link = tarfile.TarInfo("checkpoint/parent")
    link.type, link.linkname = tarfile.SYMTYPE, "../pre-checkpoint"
    return [*found, link]


def by_program(*argv: str) -> Callable[[bytes], bytes]:
    return lambda content: subprocess.run(argv, input=content, stdout=subprocess.PIPE, check=True).stdout


def in_pieces(content: bytes) -> bytes:
    """As pzstd: frames of known size, each announced by a skippable one."""
    frames = [zstandard.compress(content[at : at + (3 << 20)]) for at in range(0, len(content), 3 << 20)]
    return b"".join(frame + b"\x50\x2a\x4d\x18\x04\0\0\0size" for frame in frames)


WRAPPINGS = {
    "zstd": one_frame,
    "zstd -19 of a pipe": by_program("zstd", "-19", "-c"),
    "zstd without checksum": by_program("zstd", "--no-check", "-c"),
    "one frame of known size": zstandard.compress,
    "pzstd": in_pieces,
    "gzip": gzip.compress,
    "gzip members": lambda content: gzip.compress(content[:70_000]) + gzip.compress(content[70_000:]),
    "gzip by program": by_program("gzip", "-1"),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "xz -9": lambda content: lzma.compress(content, preset=9),
    "none": bytes,
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_every_wrapping_that_podman_reads(wrap: Callable[[bytes], bytes]) -> None:
    plain = tar(FILES, extra=directories())
    reader = ArchiveReader(io.BytesIO(wrap(plain)))
    seen = {entry.name: (entry.kind, entry.mode, entry.read()) for entry in reader}
    for name, data in FILES.items():
        assert seen[name] == (Kind.FILE, 0o644, data)
    assert seen["artifacts"] == (Kind.DIRECTORY, 0o700, b"")
    assert seen["checkpoint/parent"][0] is Kind.SYMLINK
    assert reader.manifest is None
    assert not reader.verified, "there is nothing to verify it by"


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_every_wrapping_cut_short(wrap: Callable[[bytes], bytes]) -> None:
    """Or nothing was lost: zeros at the end, or a skippable frame, which without a manifest nobody can miss."""
    files = {"ctr.log": b"log" * 30_000}
    whole = wrap(tar(files))
    kept = 0
    for size in range(0, len(whole), 1 + len(whole) // 200):
        try:
            seen = {entry.name: entry.read() for entry in ArchiveReader(io.BytesIO(whole[:size]))}
        except ArchiveInvalid:
            continue
        assert seen == {**REQUIRED, **files}
        kept += 1
    assert kept < 100


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_every_wrapping_with_something_behind(wrap: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ArchiveInvalid):
        list(ArchiveReader(io.BytesIO(wrap(tar()) + b"more")))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_header(form: int) -> None:
    files = {"volumes/short.tar": b"v", "ctr.log": b"log"}
    reader = ArchiveReader(io.BytesIO(tar(files, form=form)))
    assert {entry.name: entry.read() for entry in reader}.items() >= files.items()


def test_extended_attributes_are_passed_over() -> None:
    """Go's writer puts owners, fractions of seconds and SELinux labels into pax records."""
    info = tarfile.TarInfo("artifacts/passwd")
    info.pax_headers = {"SCHILY.xattr.security.selinux": "system_u:object_r:x:s0\0", "mtime": "1.5", "uid": "9"}
    names = [entry.name for entry in ArchiveReader(io.BytesIO(tar(extra=[info])))]
    assert names[-1] == "artifacts/passwd"


def test_its_end_may_be_padded_but_must_be_there() -> None:
    plain = tar().rstrip(b"\0")
    plain += bytes(-len(plain) % 512)
    for zeros in (1024, 10240, 1 << 20):
        assert len(list(ArchiveReader(io.BytesIO(plain + bytes(zeros))))) == 2
    for end, code in (
        (bytes(512), "archive-truncated"),
        (b"", "archive-truncated"),
        (bytes(1000), "archive-truncated"),
    ):
        with pytest.raises(ArchiveInvalid) as caught:
            list(ArchiveReader(io.BytesIO(plain + end)))
        assert caught.value.code == code
    for end in (bytes(512) + b"x" * 512, bytes(2048) + b"x", bytes(2 << 20) + b"x"):
        with pytest.raises(ArchiveInvalid):
            list(ArchiveReader(io.BytesIO(plain + end)))


@pytest.mark.parametrize(
    ("name", "says"),
    [("status.dump", "CRI-O or containerd"), ("bind.mounts", "CRI-O or containerd"), ("bin/ls", "'bin/ls'")],
)
def test_what_is_not_podmans_is_said_to_be_foreign(name: str, says: str) -> None:
    with pytest.raises(ArchiveInvalid, match=says) as caught:
        list(ArchiveReader(io.BytesIO(tar({name: b""}))))
    assert caught.value.code == "archive-foreign"
    assert caught.value.hint


@pytest.mark.parametrize(
    "data", [b"#!/bin/sh\n" * 100, bytes(range(256)) * 4, gzip.compress(b"text" * 1000, mtime=0), b"PK" * 999]
)
def test_what_is_no_archive_is_said_to_be_foreign(data: bytes) -> None:
    with pytest.raises(ArchiveInvalid) as caught:
        list(ArchiveReader(io.BytesIO(data)))
    assert caught.value.code == "archive-foreign"


@pytest.mark.parametrize("data", [b"", b"x", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"BZh9"])
def test_next_to_nothing_is_cut_short(data: bytes) -> None:
    with pytest.raises(ArchiveInvalid) as caught:
        list(ArchiveReader(io.BytesIO(data)))
    assert caught.value.code == "archive-truncated"


def test_an_archive_lacking_what_it_must_have_is_foreign() -> None:
    for content in (bytes(1024), bytes(10240)):
        with pytest.raises(ArchiveInvalid, match=r"no config\.dump"):
            list(ArchiveReader(io.BytesIO(content)))
