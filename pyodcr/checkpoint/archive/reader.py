"""Reading an archive in one pass from any source of bytes, and vouching for it at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import BinaryIO

from pyodcr.checkpoint.archive import compression as wrapping
from pyodcr.checkpoint.archive import decode, headers, manifest, names
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.entry import Content, Entry
from pyodcr.checkpoint.archive.frames import FrameLog
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import hostile, malformed, tampered, truncated
from pyodcr.checkpoint.archive.limits import RATIO_FLOOR_BYTES, Limits
from pyodcr.checkpoint.archive.manifest import Manifest, ManifestEntry
from pyodcr.checkpoint.archive.streams import Intake


class ArchiveReader:
    """The entries of an archive, in order::

        reader = ArchiveReader(source)
        for entry in reader:
            ...                     # entry.read, copy_to, or nothing: it is read and hashed in any case
        reader.verified

    An entry can be read only until the next one is asked for. The loop's end is the verdict: it raises
    :class:`ArchiveInvalid`, or all has been checked that can be. Until then every byte is hearsay and must not
    be acted upon. Leaving the loop early releases the threads and says nothing of the archive.

    After the loop ``manifest`` is that of pyodcr.json, which is not among the entries, and ``verified`` is True.
    A Podman archive has no manifest: None, and False, for then only its form and its compressor's checksums were
    looked at. ``compression`` is what wraps the tar, ``bytes_in`` counts the bytes taken from the source, which
    stays the caller's; OSErrors of the source become :class:`DestinationError`.
    """

    def __init__(self, source: BinaryIO, *, limits: Limits | None = None) -> None:
        self.manifest: Manifest | None = None
        self.verified = False
        self.compression = ""
        self._limits = limits or Limits()
        self._intake = Intake(source)
        self._ours = False
        self._headers = hashlib.sha256()
        self._seen: dict[str, ManifestEntry] = {}
        self._entries = self._read()

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def close(self) -> None:
        """Stop reading and release the threads; what was not read stays unverified."""
        self._entries.close()

    @property
    def bytes_in(self) -> int:
        return self._intake.offset

    def _read(self) -> Generator[Entry, None, None]:
        decoder = decode.choose(self._intake, self._limits)
        self.compression = str(decoder.name)
        with closing(self._bounded(decoder.chunks())) as chunks:
            content = Content(chunks)
            while found := headers.read(content.exactly, content.offset):
                member, raw = found
                if member.name == names.MANIFEST:
                    self._check_ours(member, raw, content, decoder.log)
                    return
                self._ours = self._ours or headers.is_ours(raw)
                self._admit(member, content.offset)
                self._headers.update(raw)
                entry = Entry(member, content)
                yield entry
                self._seen[member.name] = entry.finish()
                self._check_padding(member, content)
            self._check_stranger(content)

    def _bounded(self, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        """The chunks, until there are more of them than the limits bear."""
        total = 0
        with closing(chunks):
            for chunk in chunks:
                total += len(chunk)
                if total > self._limits.total_bytes:
                    raise hostile(f"it expands to more than {self._limits.total_bytes} bytes")
                if total > max(RATIO_FLOOR_BYTES, self._limits.ratio * self._intake.offset):
                    raise hostile(f"it expands to more than {self._limits.ratio} times its size")
                yield chunk

    def _admit(self, member: Member, offset: int) -> None:
        names.check(member.name, member.kind, member.target)
        if member.name in self._seen:
            raise hostile(f"two entries named {member.name}", entry=member.name)
        if len(self._seen) >= self._limits.entries:
            raise hostile(f"more than {self._limits.entries} entries")
        if offset + member.size > self._limits.total_bytes:
            raise hostile(f"{member.name} claims {member.size} bytes", entry=member.name)

    def _check_padding(self, member: Member, content: Content) -> None:
        if any(content.exactly(headers.padding(member.size))):
            raise tampered(f"the padding of {member.name} is not zero", entry=member.name)

    def _check_stranger(self, content: Content) -> None:
        """An archive without pyodcr.json has ended: nothing but zeros may follow, a block of them at least."""
        if self._ours:
            raise tampered("pyodcr wrote it, and pyodcr.json is missing", entry=names.MANIFEST)
        names.check_complete(self._seen)
        if any(content.exactly(headers.BLOCK_BYTES)):
            raise malformed(f"only one zero block at byte {content.offset - 2 * headers.BLOCK_BYTES}")
        for view in content.rest():
            if bytes(view).count(0) != len(view):
                raise malformed("data behind the end of the archive")

    def _check_ours(self, member: Member, raw: bytes, content: Content, log: FrameLog) -> None:
        """An archive with pyodcr.json ends here, in exactly one way."""
        if member.size > manifest.MAX_BYTES:
            raise hostile(f"pyodcr.json claims {member.size} bytes")
        start = content.offset - len(raw)
        document = content.exactly(member.size)
        told = manifest.parse(document)
        tail = manifest.tail(member, document)
        if raw + document + content.exactly(len(tail) - len(raw) - len(document)) != tail:
            raise tampered("its end is not what pyodcr writes")
        for view in content.rest():
            raise tampered(f"{len(view)} bytes or more behind byte {start + len(tail)} of the tar")
        if told.headers != self._headers.hexdigest():
            raise tampered("a tar header is not what was written")
        manifest.compare(told.entries, tuple(self._seen.values()))
        names.check_complete(self._seen)
        if told.frames.compression == self.compression:
            self._check_frames(told.frames, tail, log)
        # else somebody took it out of its wrapping, or put it into another: all that the tar holds was checked
        self.manifest = told
        self.verified = True

    def _check_frames(self, told: manifest.Frames, tail: bytes, log: FrameLog) -> None:
        """Every byte of the archive itself: the row of frames, and what closes it."""
        if told.compression is Compression.NONE:
            return
        if not 0 <= told.count < len(log) or log.row_digest(told.count) != told.sha256:
            raise tampered("its compressed form is not what was written")
        ending = wrapping.closing(told.compression, tail, log.sizes(told.count))
        if len(log) < told.count + len(ending):
            raise truncated(self._intake.offset)
        if len(log) > told.count + len(ending):
            raise tampered("something follows its end")
        for index, frame in enumerate(ending, told.count):
            if log.digest(index) != hashlib.sha256(frame).digest():
                raise tampered("its end is not what pyodcr writes")
