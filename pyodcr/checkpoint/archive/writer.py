"""Writing an archive: entries in, frames out to a sink, closed by pyodcr.json and the seek table."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from pyodcr import jsonio
from pyodcr.checkpoint.archive import compression as wrapping
from pyodcr.checkpoint.archive import headers, manifest, names
from pyodcr.checkpoint.archive.compression import FRAME_BYTES, SHARED_FRAME_BYTES, Compression
from pyodcr.checkpoint.archive.frames import FrameWriter
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import malformed
from pyodcr.checkpoint.archive.limits import MAX_ENTRIES
from pyodcr.checkpoint.archive.manifest import Frames, Manifest, ManifestEntry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.errors import SystemFailed
from pyodcr.linux import files

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

COPY_BYTES = 1 << 20


class Body:
    """What the producer of an entry writes its content into: exactly as many bytes as the header promised."""

    def __init__(self, member: Member, put: Callable[[memoryview], None]) -> None:
        self._member = member
        self._put = put
        self._left = member.size
        self._hash = hashlib.sha256()

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        if len(view) > self._left:
            raise self._changed("more than")
        self._hash.update(view)
        self._put(view)
        self._left -= len(view)
        return len(view)

    def close(self) -> str:
        """The SHA-256 of the content, which must be whole; nothing for what is no file."""
        if self._left:
            raise self._changed(f"{self._member.size - self._left} of")
        return self._hash.hexdigest() if self._member.kind is Kind.FILE else ""

    def _changed(self, how: str) -> SystemFailed:
        return SystemFailed(
            f"the source of {self._member.name} changed while it was archived: it gave {how} {self._member.size} bytes",
            code="archive-source-changed",
            entry=self._member.name,
        )


class ArchiveWriter:
    """An archive on its way to ``sink``, which stays the caller's: it is neither closed nor committed here.

    ::

        with ArchiveWriter(sink) as archive:
            archive.add_bytes("config.dump", ...)
            ...
            archive.finish(source, times)

    The archive is whole when :meth:`finish` has returned, not before; leaving the block without it is an error.
    Leaving by an exception stops the threads and writes nothing more. Errors of the sink pass unchanged, since
    only its owner knows what it is; those of a source name its path. Names are held to the reader's own rules:
    what it would refuse is not written.

    ``bytes_in`` counts tar bytes taken in, ``bytes_out`` bytes given to the sink; ``progress`` is called with
    each increment of content. Not to be shared between threads.
    """

    def __init__(
        self,
        sink: BinaryIO,
        *,
        compression: Compression = Compression.ZSTD,
        level: int = 3,
        created: datetime | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.compression = compression
        self.progress = progress
        self.bytes_in = 0
        self._created = created or jsonio.now()
        self._frames = FrameWriter(sink, wrapping.encoder(compression, level))
        self._frame = bytearray()
        self._entries: dict[str, ManifestEntry] = {}
        self._headers = hashlib.sha256()
        self._torn = False  # an entry was begun and not ended: nothing may follow
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._frames.stop()
        if kind is None and not self._finished:
            raise RuntimeError("the archive was left without finish()")

    @property
    def bytes_out(self) -> int:
        return self._frames.bytes_out

    def add_bytes(self, name: str, data: bytes, *, mode: int = 0o600) -> None:
        self._add(self._member(name, size=len(data), mode=mode), lambda body: body.write(data))

    def add_directory(self, name: str, *, mode: int = 0o700) -> None:
        self._add(self._member(name, Kind.DIRECTORY, mode=mode))

    def add_symlink(self, name: str, target: str) -> None:
        self._add(self._member(name, Kind.SYMLINK, mode=0o777, target=target))

    def add_file(self, name: str, path: Path) -> None:
        """A regular file, as long as it is when it is opened: a log may still grow.

        Raises :class:`SystemFailed` if it cannot be read, is no regular file, or shrinks.
        """
        with _opened(path) as (source, size):

            def copy(body: Body) -> None:
                left = size
                while left and (chunk := _read(source, min(left, COPY_BYTES), path)):
                    left -= body.write(chunk)

            self._add(self._member(name, size=size), copy)

    def add_stream(self, name: str, size: int, write: Callable[[Body], object]) -> None:
        """An entry whose content ``write`` produces, exactly ``size`` bytes of it.

        Raises :class:`SystemFailed` with the code ``archive-source-changed`` for more or less.
        """
        self._add(self._member(name, size=size), write)

    def finish(self, source: Mapping[str, object], times: Mapping[str, float]) -> Manifest:
        """Write pyodcr.json and what closes the archive; ``source`` are facts of this host, ``times`` in seconds."""
        self._require_whole()
        names.check_complete(self._entries)
        self._cut()
        self._frames.drain()
        log = self._frames.log
        frames = Frames(self.compression)
        if self.compression is not Compression.NONE:
            frames = Frames(self.compression, len(log), log.row_digest(len(log)))
        told = Manifest(
            created=self._created,
            entries=tuple(self._entries.values()),
            headers=self._headers.hexdigest(),
            frames=frames,
            source=source,
            times=times,
        )
        document = manifest.render(told)
        if len(document) > manifest.MAX_BYTES:
            raise malformed(f"pyodcr.json would have {len(document)} bytes")
        tail = manifest.tail(self._member(names.MANIFEST, size=len(document)), document)
        for frame in wrapping.closing(self.compression, tail, log.sizes(len(log))):
            self._frames.write_raw(frame)
        self.bytes_in += len(tail)
        self._finished = True
        return told

    def _member(
        self, name: str, kind: Kind = Kind.FILE, *, size: int = 0, mode: int = 0o600, target: str = ""
    ) -> Member:
        return Member(name, kind, size=size, mode=mode, target=target, mtime_s=int(self._created.timestamp()))

    def _add(self, member: Member, write: Callable[[Body], object] | None = None) -> None:
        self._require_whole()
        names.check(member.name, member.kind, member.target)
        if member.name in self._entries or member.name == names.MANIFEST:
            raise malformed(f"two entries named {member.name}", entry=member.name)
        if len(self._entries) == MAX_ENTRIES:
            raise malformed(f"more than {MAX_ENTRIES} entries")
        self._torn = True
        header = headers.build(member)
        self._headers.update(header)
        gap = headers.padding(member.size)
        size = len(header) + member.size + gap
        large = size > SHARED_FRAME_BYTES
        if large or len(self._frame) + size > SHARED_FRAME_BYTES:
            self._cut()
        self._put(memoryview(header))
        if large:
            self._cut()
        offset = self.bytes_in
        body = Body(member, self._put_content)
        if write is not None:
            write(body)
        sha256 = body.close()
        self._put(memoryview(bytes(gap)))
        if large:
            self._cut()
        self._entries[member.name] = ManifestEntry(member.name, member.kind, offset, member.size, sha256, member.target)
        self._torn = False

    def _require_whole(self) -> None:
        if self._torn or self._finished:
            raise RuntimeError("the archive is finished" if self._finished else "an entry was left unfinished")

    def _put_content(self, view: memoryview) -> None:
        self._put(view)
        if self.progress is not None:
            self.progress(len(view))

    def _put(self, view: memoryview) -> None:
        """Tar bytes, into the frame at hand; a full one goes out."""
        self.bytes_in += len(view)
        while view:
            piece = view[: FRAME_BYTES - len(self._frame)]
            view = view[len(piece) :]
            self._frame += piece
            if len(self._frame) == FRAME_BYTES:
                self._cut()

    def _cut(self) -> None:
        """The frame ends here."""
        if self._frame:
            frame, self._frame = self._frame, bytearray()
            self._frames.add(frame)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """A regular file's descriptor and its size; not through a symlink, and a fifo does not hang us."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise files.failed("read", path, error) from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise SystemFailed(f"cannot archive {path}: it is not a regular file", path=str(path))
        yield fd, info.st_size
    finally:
        os.close(fd)


def _read(fd: int, size: int, path: Path) -> bytes:
    try:
        return os.read(fd, size)
    except OSError as error:
        raise files.failed("read", path, error) from error
