"""Archives made to do harm: each is refused, in bounded memory, whatever its checksums say."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from pyodcr.checkpoint.archive import headers, manifest, zstdformat
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.limits import Limits
from pyodcr.checkpoint.archive.manifest import Manifest, ManifestEntry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.errors import ArchiveInvalid

from .samples import CONFIG, REQUIRED, SPEC, one_frame, raw_tar, tar, written

MIB = 1 << 20


def refused(data: bytes, limits: Limits | None = None) -> ArchiveInvalid:
    with pytest.raises(ArchiveInvalid) as caught:
        verify(io.BytesIO(data), limits=limits)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../config.dump",
        "checkpoint/../../x",
        "checkpoint/..",
        "checkpoint//x",
        "./config.dump",
        "checkpoint/./x",
        ".",
        "..",
        "checkpoint\\..\\x",
        "checkpoint/a\tb",
        "checkpoint/\x1b[2J",
        "checkpoint/\u202egpj.img",
        "checkpoint/" + "x" * 256,
        "volumes/.tar",
        "volumes/-rf.tar",
        "volumes/a b.tar",
        "volumes/x.tar.gz",
    ],
)
def test_names_that_escape_or_deceive(name: str) -> None:
    assert refused(raw_tar((Member("config.dump", size=2), b"{}"), (Member(name), b""))).code == "archive-hostile"


def test_a_name_of_bytes_that_are_no_text() -> None:
    block = bytearray(headers.build(Member("config.dump")))
    block[0] = 0xFF
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    assert refused(bytes(block) + headers.END_OF_ARCHIVE).code == "archive-hostile"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("checkpoint", Kind.FILE),
        ("config.dump", Kind.DIRECTORY),
        ("checkpoint/parent", Kind.FILE),
        ("checkpoint/parent", Kind.DIRECTORY),
        ("checkpoint/sub", Kind.DIRECTORY),
        ("volumes/x.tar", Kind.DIRECTORY),
    ],
)
def test_kinds_that_do_not_fit_the_name(name: str, kind: Kind) -> None:
    assert refused(raw_tar((Member(name, kind), b""))).code == "archive-invalid"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("checkpoint/parent", "/etc"),
        ("checkpoint/parent", "../../pre-checkpoint"),
        ("checkpoint/parent", ""),
        ("checkpoint", "/"),
        ("volumes", "../.."),
        ("config.dump", "/etc/shadow"),
    ],
)
def test_symlinks_but_one(name: str, target: str) -> None:
    assert refused(raw_tar((Member(name, Kind.SYMLINK, target=target), b""))).code == "archive-hostile"


@pytest.mark.parametrize(
    "flag", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_types_that_are_not_for_archives(flag: bytes) -> None:
    info = tarfile.TarInfo("ctr.log")
    info.type, info.linkname = flag, "config.dump"
    assert refused(tar(extra=[info])).code == "archive-hostile"


@pytest.mark.parametrize("flag", [tarfile.CONTTYPE, tarfile.XGLTYPE, b"L", b"K", b"V", b"\xff"])
def test_types_that_are_unknown(flag: bytes) -> None:
    info = tarfile.TarInfo("ctr.log")
    info.type = flag
    assert refused(tar(extra=[info])).code == "archive-invalid"


@pytest.mark.parametrize("kind", [Kind.DIRECTORY, Kind.SYMLINK])
def test_bytes_behind_what_has_none(kind: Kind) -> None:
    assert refused(raw_tar((Member("checkpoint", kind, size=512), bytes(512)))).code == "archive-invalid"


def with_pax(records: bytes, *, size: int | None = None) -> bytes:
    header = headers._block("x", b"x", size=len(records) if size is None else size, mode=0, mtime_s=0)
    return header + records + bytes(-len(records) % 512) + headers.build(Member("ctr.log")) + headers.END_OF_ARCHIVE


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (b"13 size=9999\n", "archive-truncated"),
        (b"25 size=1" + b"0" * 15 + b"\n", "archive-hostile"),
        (b"12 path=../\n", "archive-hostile"),
        (b"13 path=a\0b\n\n", "archive-hostile"),
        (b"14 path=../x/\n12 path=abc\n", "archive-hostile"),
        (b"22 GNU.sparse.major=1\n", "archive-hostile"),
        (b"10 size=-1\n", "archive-invalid"),
        (b"12 size=0x10\n", "archive-invalid"),
        (b"99 path=abc\n", "archive-invalid"),
        (b"11 path=abc\n", "archive-invalid"),
        (b"5 a=\n5 b\n", "archive-invalid"),
        (b"0 path=abc\n", "archive-invalid"),
        (b"path=abc\n", "archive-invalid"),
        (b"999999999999 path=abc\n", "archive-invalid"),
    ],
)
def test_pax_headers(records: bytes, code: str) -> None:
    assert refused(with_pax(records)).code == code


def test_pax_bombs() -> None:
    assert refused(with_pax(b"", size=1 << 32)).code == "archive-hostile"
    assert refused(with_pax(b"", size=0)).code == "archive-hostile"
    many = b"6 a=b\n" * (headers.MAX_PAX_BYTES // 6)
    assert "pyodcr.json is missing" in refused(with_pax(many)).message  # it was read, to its end
    twice = with_pax(b"12 path=abc\n")
    assert refused(twice[:1024] + twice).code == "archive-invalid"
    assert refused(with_pax(b"12 path=abc\n" + bytes(4) + b"x")).code == "archive-invalid"


@pytest.mark.parametrize(
    "field",
    [
        b"\x80" + b"\0" * 6 + b"\x40" + b"\0" * 4,
        b"\xbf" + b"\xff" * 11,
        b"7" * 11 + b"\0",
        b"\xff" * 12,
        b"12x45\0      ",
    ],
)
def test_sizes_that_lie(field: bytes) -> None:
    block = bytearray(headers.build(Member("ctr.log")))
    block[124:136] = field
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    assert refused(bytes(block) + bytes(4096), Limits(total_bytes=1 << 32)).code in (
        "archive-hostile",
        "archive-invalid",
    )


def test_one_name_twice() -> None:
    assert refused(tar(extra=[tarfile.TarInfo("config.dump")])).code == "archive-hostile"
    twice = (Member("checkpoint", Kind.DIRECTORY), b"")
    assert refused(raw_tar(twice, twice)).code == "archive-hostile"


def test_too_many_entries() -> None:
    data = written({f"checkpoint/core-{number}.img": b"" for number in range(98)})
    assert verify(io.BytesIO(data), limits=Limits(entries=100)) is not None
    assert refused(data, Limits(entries=99)).code == "archive-hostile"


@pytest.mark.parametrize(
    "frame",
    [zstandard.compress(b""), b"\x50\x2a\x4d\x18\0\0\0\0", gzip.compress(b"")],
    ids=["zstd", "skippable", "gzip"],
)
def test_too_many_frames(frame: bytes) -> None:
    first = gzip.compress(tar()[:512]) if frame[:2] == b"\x1f\x8b" else zstandard.compress(tar()[:512])
    assert refused(first + frame * 1000, Limits(frames=1000)).code == "archive-hostile"


def in_frames(content: bytes) -> bytes:
    return b"".join(zstandard.compress(content[at : at + 4 * MIB]) for at in range(0, len(content), 4 * MIB))


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": one_frame,
    "zstd frames": in_frames,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("wrap", BOMBS.values(), ids=BOMBS.keys())
def test_bombs(wrap: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    content = tar()[:-10240] + headers.build(Member("ctr.log", size=1 << 38))
    assert refused(wrap(content), Limits(total_bytes=1 << 36)).code == "archive-hostile"  # by what it claims
    padded = wrap(tar() + bytes(16 * MIB))
    assert refused(padded, Limits(total_bytes=8 * MIB)).code == "archive-hostile"  # by what it gives
    assert verify(io.BytesIO(padded), limits=Limits(ratio=20)) is None  # a ratio says little of the first 64 MiB
    monkeypatch.setattr("pyodcr.checkpoint.archive.reader.RATIO_FLOOR_BYTES", MIB)
    assert refused(padded, Limits(ratio=20)).code == "archive-hostile"


def test_a_window_larger_than_bearable() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert "128 MiB" in refused(compressor.compress(tar()) + compressor.flush()).message


@pytest.mark.parametrize("content", [0, 1, 4 * MIB, 1 << 60])
def test_a_frame_that_lies_about_its_content(content: int) -> None:
    lying = zstdformat.MAGIC + b"\xe0" + content.to_bytes(8, "little") + b"\x01\0\0"
    assert refused(lying).code in ("archive-tampered", "archive-hostile", "archive-truncated")


def test_a_frame_that_never_ends() -> None:
    """A few bytes of content, and then empty blocks for ever: 4 MiB of them, here."""
    endless = zstdformat.MAGIC + b"\xa0" + (5).to_bytes(4, "little") + bytes(3) * (2 * MIB)
    assert refused(endless).code == "archive-hostile"


@pytest.mark.parametrize(
    "damage", [lambda block: block[:-8] + bytes(8), lambda block: block[:20] + b"\xff" * 9 + block[29:]]
)
def test_compressors_that_find_damage(damage: Callable[[bytes], bytes]) -> None:
    for wrap in (one_frame, zstandard.compress, gzip.compress, bz2.compress, lzma.compress):
        assert refused(damage(wrap(tar({"ctr.log": b"log" * 999})))).code in ("archive-tampered", "archive-truncated")


# What a forger can write, who knows the format: hashes and seals that hold, around something that does not.


def forged(change: Callable[[Manifest], Manifest], data: bytes | None = None) -> bytes:
    plain = data or written({"ctr.log": b"log"}, compression=Compression.NONE)
    told = verify(io.BytesIO(written({"ctr.log": b"log"}, compression=Compression.NONE)))
    assert told is not None
    start = plain.index(b"pyodcr.json\0")
    document = manifest.render(change(told))
    return plain[:start] + manifest.tail(Member("pyodcr.json", size=len(document)), document)


def changed(index: int, **values: Any) -> Callable[[Manifest], Manifest]:
    def change(told: Manifest) -> Manifest:
        entries = list(told.entries)
        entries[index] = dataclasses.replace(entries[index], **values)
        return dataclasses.replace(told, entries=tuple(entries))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (changed(2, sha256="0" * 64), "content of ctr.log"),
        (changed(2, sha256=""), "content of ctr.log"),
        (changed(1, size=7), "spec.dump has 15 bytes, not 7"),
        (changed(0, offset=0), "config.dump is not what was written"),
        (changed(0, kind=Kind.DIRECTORY), "config.dump is not what was written"),
        (changed(1, name="../x"), "'spec.dump' should not be where it is"),
        (lambda told: dataclasses.replace(told, entries=told.entries[:2]), "'ctr.log' should not be"),
        (lambda told: dataclasses.replace(told, entries=()), "'config.dump' should not be"),
        (lambda told: dataclasses.replace(told, entries=told.entries[::-1]), "should not be"),
        (
            lambda told: dataclasses.replace(told, entries=(*told.entries, ManifestEntry("deleted.files"))),
            "'deleted.files' is missing",
        ),
        (lambda told: dataclasses.replace(told, headers=""), "a tar header is not"),
    ],
)
def test_a_manifest_that_tells_another_story(change: Callable[[Manifest], Manifest], says: str) -> None:
    error = refused(forged(change))
    assert error.code == "archive-tampered"
    assert says in error.message


@pytest.mark.parametrize("count", [-1, 0, 1, 2, 3, 1 << 70])
def test_a_manifest_that_miscounts_the_frames(count: int) -> None:
    plain = forged(lambda told: dataclasses.replace(told, frames=manifest.Frames(Compression.ZSTD, count, "0" * 64)))
    assert verify(io.BytesIO(plain)) is not None, "out of its wrapping the tar alone counts"
    for wrapped in (zstandard.compress(plain), zstandard.compress(plain[:512]) + zstandard.compress(plain[512:])):
        assert refused(wrapped).code == "archive-tampered"


def test_a_manifest_from_the_future() -> None:
    error = refused(forged(lambda told: dataclasses.replace(told, version=2)))
    assert error.code == "archive-too-new"


def test_a_manifest_is_the_last_entry() -> None:
    data = written(compression=Compression.NONE)
    assert refused(data[:-1024] + headers.build(Member("ctr.log")) + headers.END_OF_ARCHIVE).code == "archive-tampered"


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"version":1,"seal":"x"}'])
def test_a_manifest_that_is_none(document: bytes) -> None:
    members = [(Member(name, size=len(data)), data) for name, data in REQUIRED.items()]
    data = raw_tar(*members, (Member("pyodcr.json", size=len(document)), document))
    assert refused(data).code in ("archive-invalid", "archive-tampered")


def test_a_manifest_without_end() -> None:
    member = Member("pyodcr.json", size=1 << 40)
    assert refused(headers.build(member) + bytes(MIB)).code == "archive-hostile"
    assert refused(raw_tar((Member("pyodcr.json", Kind.DIRECTORY), b""))).code == "archive-invalid"


def test_padding_carries_nothing() -> None:
    data = bytearray(written(compression=Compression.NONE))
    data[512 + len(CONFIG) + 3] = 1
    assert "padding of config.dump" in refused(bytes(data)).message
    assert data[512 + 512 + 512 :].startswith(SPEC)


MEASURED = """
import io, sys
sys.path[:0] = sys.argv[2:]
{body}
print(int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) // 1024)
"""


def peak_mib(body: str) -> int:
    """The peak resident memory of a process of its own, in MiB."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURED.format(body=body), "", *sys.path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


WRITE_AND_VERIFY = """
import tempfile
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.checkpoint.archive.writer import ArchiveWriter
from pyodcr.checkpoint.archive.compression import Compression
for compression in Compression:
    with tempfile.TemporaryFile() as file:
        with ArchiveWriter(file, compression=compression, level=1) as archive:
            archive.add_bytes("config.dump", b"{}")
            archive.add_bytes("spec.dump", b"{}")
            mebibyte = bytes(range(256)) * 2048 + bytes(1 << 19)
            archive.add_stream("checkpoint/pages-1.img", 256 << 20, lambda b: [b.write(mebibyte) for _ in range(256)])
            archive.finish({}, {})
        file.seek(0)
        assert verify(file) is not None
"""

BOMB = """
import zstandard
from pyodcr.checkpoint.archive import headers
from pyodcr.checkpoint.archive.verify import verify
from pyodcr.errors import ArchiveInvalid
compressor = zstandard.ZstdCompressor().compressobj()
data = compressor.compress(headers.build(headers.Member("config.dump", size=1 << 30)))
for _ in range(1024):
    data += compressor.compress(bytes(1 << 20))
data += compressor.flush()
try:
    verify(io.BytesIO(data))
    raise AssertionError
except ArchiveInvalid as error:
    assert error.code == "archive-truncated", error  # by default a gibibyte is nothing: it was read, to the end
"""


def test_memory_is_bounded() -> None:
    assert peak_mib(WRITE_AND_VERIFY) < 100
    assert peak_mib(BOMB) < 64
