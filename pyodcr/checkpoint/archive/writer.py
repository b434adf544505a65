"""Writing an archive: entries in, frames out to a sink, closed by pyodcr.json and the seek table."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pyodcr import jsonio
from pyodcr.checkpoint.archive import compression as wrapping
from pyodcr.checkpoint.archive import headers, manifest, names
from pyodcr.checkpoint.archive.compression import FRAME_BYTES, SHARED_FRAME_BYTES, Compression
from pyodcr.checkpoint.archive.frames import Blank, FrameWriter
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import malformed
from pyodcr.checkpoint.archive.limits import MAX_ENTRIES
from pyodcr.checkpoint.archive.manifest import Frames, Manifest, ManifestEntry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.streams import Sink
from pyodcr.errors import SystemFailed
from pyodcr.linux import files

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Body:
    """What the producer of an entry writes its content into: exactly as many bytes as its header promised."""

    def __init__(self, member: Member, archive: ArchiveWriter) -> None:
        self._member = member
        self._archive = archive
        self._left = member.size
        self._hash = hashlib.sha256()

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        if len(view) > self._left:
            raise self._changed("more than")
        self._hash.update(view)
        self._archive._put_content(view)
        self._left -= len(view)
        return len(view)

    def read_from(self, fd: int) -> int:
        """Take the next bytes of a file, without a copy between; how many, 0 at its end or when all are taken."""
        taken = self._archive._take(fd, self._left, self._hash)
        self._left -= taken
        return taken

    def close(self) -> str:
        """The SHA-256 of the content, which must be whole; nothing for what is no file."""
        if self._left:
            raise self._changed(f"{self._member.size - self._left} of")
        return self._hash.hexdigest() if self._member.kind is Kind.FILE else ""

    def _changed(self, how: str) -> SystemFailed:
        return source_changed(self._member.name, f"it gave {how} {self._member.size} bytes")


class GrowingEntry:
    """A large file that is archived while it is written: its header comes when its size is known.

    Nothing else can be added to the archive before :meth:`close`.
    """

    def __init__(self, name: str, archive: ArchiveWriter, header: Blank) -> None:
        self.name = name
        self.size_bytes = 0
        self._archive = archive
        self._header = header
        self._hash = hashlib.sha256()

    def read_from(self, fd: int) -> int:
        """Take the next bytes of the file; how many, 0 where there are none now."""
        taken = self._archive._take(fd, FRAME_BYTES, self._hash)
        self.size_bytes += taken
        return taken

    def close(self) -> None:
        """The file is whole."""
        self._archive._end_growing(self, self._header, self._hash.hexdigest())


def source_changed(name: str, how: str) -> SystemFailed:
    return SystemFailed(
        f"the source of {name} changed while it was archived: {how}", code="archive-source-changed", entry=name
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
        sink: Sink,
        *,
        compression: Compression = Compression.ZSTD,
        level: int = wrapping.LEVEL,
        created: datetime | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.compression = compression
        self.progress = progress
        self.bytes_in = 0
        self._created = created or jsonio.now()
        self._frames = FrameWriter(sink, wrapping.encoder(compression, level), FRAME_BYTES)
        self._buffer = self._frames.buffer()  # the frame at hand
        self._filled = 0
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
                try:
                    while body.read_from(source):
                        pass
                except OSError as error:
                    raise files.failed("read", path, error) from error

            self._add(self._member(name, size=size), copy)

    def add_stream(self, name: str, size: int, write: Callable[[Body], object]) -> None:
        """An entry whose content ``write`` produces, exactly ``size`` bytes of it.

        Raises :class:`SystemFailed` with the code ``archive-source-changed`` for more or less.
        """
        self._add(self._member(name, size=size), write)

    def grow(self, name: str) -> GrowingEntry:
        """Begin an entry whose size is not known yet, but more than :data:`SHARED_FRAME_BYTES`.

        The sink must be able to leave room for its header: a :class:`~.streams.SinkWithGaps`.
        """
        self._begin(self._member(name))
        self._cut()
        header = self._blank(headers.build(self._member(name)))
        self._frames.add_blank(header)
        return GrowingEntry(name, self, header)

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

    def _begin(self, member: Member) -> None:
        """An entry of that name may come now, and nothing else before it has ended."""
        self._require_whole()
        names.check(member.name, member.kind, member.target)
        if member.name in self._entries or member.name == names.MANIFEST:
            raise malformed(f"two entries named {member.name}", entry=member.name)
        if len(self._entries) == MAX_ENTRIES:
            raise malformed(f"more than {MAX_ENTRIES} entries")
        self._torn = True

    def _add(self, member: Member, write: Callable[[Body], object] | None = None) -> None:
        self._begin(member)
        header = headers.build(member)
        size = len(header) + member.size + headers.padding(member.size)
        large = size > SHARED_FRAME_BYTES
        if large or self._filled + size > SHARED_FRAME_BYTES:
            self._cut()
        if large:
            blank = self._blank(header)
            self._fill(blank, header)
            self._frames.add_blank(blank)
        else:
            self._put(memoryview(header))
        body = Body(member, self)
        if write is not None:
            write(body)
        self._end(member, header, body.close())
        if large:
            self._cut()

    def _end(self, member: Member, header: bytes, sha256: str) -> None:
        offset = self.bytes_in - member.size
        self._put(memoryview(bytes(headers.padding(member.size))))
        self._headers.update(header)
        self._entries[member.name] = ManifestEntry(member.name, member.kind, offset, member.size, sha256, member.target)
        self._torn = False

    def _end_growing(self, entry: GrowingEntry, blank: Blank, sha256: str) -> None:
        member = self._member(entry.name, size=entry.size_bytes)
        header = headers.build(member)
        self._fill(blank, header)
        self._end(member, header, sha256)
        self._cut()

    def _blank(self, header: bytes) -> Blank:
        """A frame, stored, for a header of that length."""
        self.bytes_in += len(header)
        return Blank(len(wrapping.stored(self.compression, header)), len(header))

    def _fill(self, blank: Blank, header: bytes) -> None:
        blank.fill(wrapping.stored(self.compression, header))

    def _require_whole(self) -> None:
        if self._torn or self._finished:
            raise RuntimeError("the archive is finished" if self._finished else "an entry was left unfinished")

    def _put_content(self, view: memoryview) -> None:
        self._put(view)
        if self.progress is not None:
            self.progress(len(view))

    def _put(self, view: memoryview) -> None:
        """Tar bytes, into the frame at hand."""
        while view:
            piece = view[: FRAME_BYTES - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._took(len(piece))
            view = view[len(piece) :]

    def _take(self, fd: int, limit: int, digest: hashlib._Hash) -> int:
        """At most ``limit`` bytes of a file, read straight into the frame at hand; 0 at its end."""
        with memoryview(self._buffer)[self._filled : min(FRAME_BYTES, self._filled + limit)] as room:
            taken = os.readv(fd, [room]) if room else 0
            digest.update(room[:taken])
        self._took(taken)
        if taken and self.progress is not None:
            self.progress(taken)
        return taken

    def _took(self, count: int) -> None:
        """So much came into the frame at hand; a full one goes out."""
        self.bytes_in += count
        self._filled += count
        if self._filled == FRAME_BYTES:
            self._cut()

    def _cut(self) -> None:
        """The frame ends here."""
        if self._filled:
            self._frames.add(self._buffer, self._filled)
            self._buffer, self._filled = self._frames.buffer(), 0


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
