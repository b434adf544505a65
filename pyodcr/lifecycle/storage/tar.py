"""The tar format, writing side: what an entry is, and the bytes of its header.

An entry is a 512-byte ustar header, the content, and zeros up to the next multiple of 512. What does
not fit (long names, big numbers, fractions of seconds, extended attributes, holes) goes before it as
PAX records (POSIX.1-2001, ``pax``), under the names that GNU tar, star and Go's archive/tar share:

    path  linkpath  size  uid  gid  mtime        as in POSIX
    SCHILY.xattr.NAME                            an extended attribute, raw
    GNU.sparse.{major,minor,name,realsize}       a file with holes, "PAX format 1.0":
                                                 the content begins with the map of its data

Go's archive/tar, and so Podman, is the strictest reader; its limits are ours.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

BLOCK = 512
END = bytes(2 * BLOCK)  # the end of an archive

# PAX records, long names and sparse maps are held in memory, so they are bounded: Go refuses larger ones
# (CVE-2025-58183), and so do we.
MAX_EXTENDED_BYTES = 1 << 20

XATTR_PREFIX = "SCHILY.xattr."
NANOSECOND = 1_000_000_000

_USTAR = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_NAME_BYTES = 100
_SHORT_NUMBER = 8**7  # mode, owner, device: seven octal digits
_LONG_NUMBER = 8**11  # size, time: eleven

Segment: TypeAlias = tuple[int, int]  # offset and length of a piece of data between holes


class TarInvalid(ValueError):
    """A tar stream is damaged, cut short, or says what no tree can be; callers map it to an error of their domain."""


class Kind(StrEnum):
    """What an entry is; the value is its type flag in the header."""

    FILE = "0"
    HARD_LINK = "1"
    SYMLINK = "2"
    CHARACTER_DEVICE = "3"
    BLOCK_DEVICE = "4"
    DIRECTORY = "5"
    FIFO = "6"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of whatever kind. ``name`` is relative, without a slash at either end; ``.`` is the root itself.

    ``size`` is the file's size in bytes, holes included; ``segments`` says where its data lies, None: everywhere.
    ``target`` is what a symbolic link says, or the name of the entry that a hard link names once more.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    segments: tuple[Segment, ...] | None = None
    target: str = ""
    device: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def data(self) -> tuple[Segment, ...]:
        """The pieces of content that follow the header, in order."""
        return ((0, self.size),) if self.segments is None else self.segments

    @property
    def data_bytes(self) -> int:
        return self.size if self.segments is None else sum(length for _, length in self.segments)


def padding(size: int) -> int:
    """How many zeros follow ``size`` bytes of content."""
    return -size % BLOCK


def header(entry: Entry) -> bytes:
    """All that precedes the data of an entry: PAX records, the header itself, the map of a sparse file."""
    name = os.fsencode(entry.name) + (b"/" if entry.kind is Kind.DIRECTORY else b"")
    target = os.fsencode(entry.target)
    sparse_map = b"" if entry.segments is None else _sparse_map(entry.segments)
    stored = len(sparse_map) + entry.data_bytes
    seconds, fraction = divmod(entry.mtime_ns, NANOSECOND)

    records: list[tuple[bytes, bytes]] = []
    if entry.segments is not None:
        records += _sparse_records(name, entry.size)
    elif len(name) > _NAME_BYTES:
        records.append((b"path", name))
    if len(target) > _NAME_BYTES:
        records.append((b"linkpath", target))
    if stored >= _LONG_NUMBER:
        records.append((b"size", b"%d" % stored))
    if entry.uid >= _SHORT_NUMBER:
        records.append((b"uid", b"%d" % entry.uid))
    if entry.gid >= _SHORT_NUMBER:
        records.append((b"gid", b"%d" % entry.gid))
    if fraction or not 0 <= seconds < _LONG_NUMBER:
        records.append((b"mtime", _decimal(entry.mtime_ns)))
    records += [(_xattr_key(key), value) for key, value in entry.xattrs.items()]

    block = _ustar(
        name, entry.kind, entry.mode, entry.uid, entry.gid, stored, seconds, target=target, device=entry.device
    )
    return _extended(records, name) + block + sparse_map if records else block + sparse_map


def _ustar(
    name: bytes,
    kind: str,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    *,
    target: bytes = b"",
    device: int = 0,
) -> bytes:
    """One header block. A number that does not fit is 0 here, for a PAX record tells it."""
    block = _USTAR.pack(
        name[:_NAME_BYTES],
        b"%07o" % mode,
        b"%07o" % (uid if uid < _SHORT_NUMBER else 0),
        b"%07o" % (gid if gid < _SHORT_NUMBER else 0),
        b"%011o" % (size if size < _LONG_NUMBER else 0),
        b"%011o" % (seconds if 0 <= seconds < _LONG_NUMBER else 0),
        b" " * 8,  # the checksum counts as spaces in the sum
        kind.encode(),
        target[:_NAME_BYTES],
        b"ustar\x0000",
        b"",
        b"",
        b"%07o" % os.major(device),
        b"%07o" % os.minor(device),
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], checksum(block), block[156:])


def checksum(block: bytes) -> int:
    """The sum of a header's bytes, as far as it is below 65521, which no honest header exceeds.

    That is the first half of Adler-32 less one, at a tenth of the time of ``sum``.
    """
    return (zlib.adler32(block) & 0xFFFF) - 1


def _extended(records: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """An entry of PAX records for the entry that follows it."""
    content = b"".join(_record(key, value) for key, value in records)
    label = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2]
    return _ustar(label, "x", 0o644, 0, 0, len(content), 0) + content + bytes(padding(len(content)))


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where LENGTH counts itself too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _xattr_key(name: str) -> bytes:
    # A key ends at the first "=", so GNU tar writes that as %3D. Go does not read this, so no more than need be.
    escaped = name.replace("%25", "%2525").replace("%3D", "%253D").replace("=", "%3D")
    return os.fsencode(XATTR_PREFIX + escaped)


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    return b"%s%d.%09d" % (sign, *divmod(abs(nanoseconds), NANOSECOND))


def _sparse_records(name: bytes, size: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", name),
        (b"GNU.sparse.realsize", b"%d" % size),
    ]


def _sparse_map(segments: tuple[Segment, ...]) -> bytes:
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    content = b"".join(b"%d\n" % number for number in numbers)
    return content + bytes(padding(len(content)))
