"""``pyodcr.json``, the last entry: what the archive holds, how it is wrapped, and where it comes from.

::

    {"version":1,
     "created":"2026-11-23T17:00:00.000000Z",
     "entries":[{"name":"config.dump","offset":512,"size":9731,"sha256":"..."},
                {"name":"checkpoint","kind":"directory","offset":21504}, ...],
     "headers":"...",                                    SHA-256 of all tar headers before this entry's, in order
     "frames":{"compression":"zstd","count":42,"sha256":"..."},
     "source":{...},                                     facts of the host, given by the caller
     "times":{...},                                      seconds, measured by the caller
     "seal":"..."}                                       SHA-256 of the document without this member

``offset`` is where an entry's data begins in the uncompressed tar (a directory: where it would), in bytes; the
frame that holds it follows from the seek table. ``entries`` are in the archive's order and do not name
pyodcr.json itself. ``frames`` are those before the last one, which holds this document; ``sha256`` is the hash
of their SHA-256 digests. A bare tar has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from pyodcr import jsonio
from pyodcr.checkpoint.archive import headers
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import malformed, shown, tampered, too_new
from pyodcr.checkpoint.archive.names import Kind

VERSION = 1
MAX_BYTES = 32 << 20

_SEAL = b',"seal":"%s"}'
_SEAL_BYTES = len(_SEAL % b"") + 64


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One entry; ``sha256``, in hexadecimal, is a file's, ``target`` a symlink's."""

    name: str
    kind: Kind = Kind.FILE
    offset: int = jsonio.key("offset", 0, keep=True)
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Frames:
    compression: Compression
    count: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    version: int = jsonio.key("version", keep=True, default=VERSION)
    created: datetime
    entries: tuple[ManifestEntry, ...]
    headers: str
    frames: Frames
    source: Mapping[str, object] = jsonio.key("source", factory=dict, keep=True)
    times: Mapping[str, float] = jsonio.key("times", factory=dict, keep=True)


def render(manifest: Manifest) -> bytes:
    """The document, sealed."""
    return _seal(jsonio.dumps(jsonio.encode(manifest)).encode())


def parse(document: bytes) -> Manifest:
    """The manifest in a document whose seal holds; else :class:`ArchiveInvalid`."""
    try:
        value = jsonio.loads(document, "pyodcr.json")
        version = value.get("version")
        if isinstance(version, int) and version > VERSION:
            raise too_new(version)
        if _seal(document[:-_SEAL_BYTES] + b"}") != document:
            raise tampered("the seal of pyodcr.json is broken")
        return jsonio.decode(Manifest, value)
    except jsonio.JsonInvalid as error:
        raise malformed(f"pyodcr.json: {error}") from error


def tail(member: Member, document: bytes) -> bytes:
    """The end of the tar, from pyodcr.json's header on: there is one way to write it."""
    return headers.build(member) + document + bytes(headers.padding(len(document))) + headers.END_OF_ARCHIVE


def compare(told: Sequence[ManifestEntry], seen: Sequence[ManifestEntry]) -> None:
    """Refuse an archive that does not hold what its manifest tells, in that order; name the first difference."""
    for tells, sees in zip_longest(told, seen):
        if tells == sees:
            continue
        if sees is None:
            raise tampered(f"{shown(tells.name)} is missing", entry=tells.name)
        if tells is None or tells.name != sees.name:
            raise tampered(f"{shown(sees.name)} should not be where it is", entry=sees.name)
        if tells.size != sees.size:
            what = f"{sees.name} has {sees.size} bytes, not {tells.size}"
        elif tells.sha256 != sees.sha256:
            what = f"the content of {sees.name} is not what was written"
        else:
            what = f"{sees.name} is not what was written"
        raise tampered(what, entry=sees.name)


def _seal(body: bytes) -> bytes:
    """``body``, a JSON object with at least one member, with its own hash as one member more."""
    return body[:-1] + _SEAL % hashlib.sha256(body).hexdigest().encode()
