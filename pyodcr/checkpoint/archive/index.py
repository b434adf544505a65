"""Reading some entries of an archive without the rest, by its seek table and its manifest.

Only our own zstd archives have both; what is asked of another is found by reading from the front.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from pyodcr.checkpoint.archive import headers, manifest, names, seektable, zstdformat
from pyodcr.checkpoint.archive.compression import FRAME_BYTES
from pyodcr.checkpoint.archive.conveyor import Conveyor
from pyodcr.checkpoint.archive.decode import AHEAD_FRAMES, MAX_FRAME_BYTES, WholeFrame, decode_frame
from pyodcr.checkpoint.archive.entry import Content, Entry
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import tampered
from pyodcr.checkpoint.archive.limits import Limits
from pyodcr.checkpoint.archive.manifest import Manifest, ManifestEntry
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.seektable import SeekTable
from pyodcr.checkpoint.archive.streams import read_at
from pyodcr.errors import NotFound
from pyodcr.linux import files


class Index:
    """Where everything is in one of our zstd archives: two reads at its end.

    ``manifest`` and seek table are checked against each other and against damage; an entry is checked as it is
    read, so what :meth:`open` hands out to the end is what was written. The rest of the archive is not looked at.
    """

    def __init__(self, source: BinaryIO, table: SeekTable, told: Manifest) -> None:
        self.manifest = told
        self._source = source
        self._table = table

    @classmethod
    def load(cls, source: BinaryIO, *, limits: Limits | None = None) -> Self | None:
        """The index of a seekable source; None if it is no zstd archive of ours."""
        table = seektable.load(source, max_frames=(limits or Limits()).frames)
        if table is None:
            return None
        last = len(table) - 1
        if table.content_bytes(last) > manifest.MAX_BYTES + FRAME_BYTES:
            return None
        raw = read_at(source, table.compressed[last], table.compressed_bytes(last))
        if not raw.startswith(zstdformat.STORED_PREFIX):
            return None
        told = _told(raw)
        if told.frames.count != last:
            raise tampered(f"it has {last} frames, where {told.frames.count} were written")
        return cls(source, table, told)

    @contextmanager
    def open(self, name: str) -> Iterator[Entry]:
        """The entry of this name, or :class:`NotFound`. Its mode is in its header only, which is not read: 0600."""
        with closing(self.entries(told for told in self.manifest.entries if told.name == name)) as found:
            entry = next(found, None)
            if entry is None:
                raise NotFound(f"the archive has no {name}", entry=name)
            yield entry

    def entries(self, wanted: Iterable[ManifestEntry]) -> Generator[Entry, None, None]:
        """Entries of the manifest, best in their order; each is to be read before the next is asked for.

        No frame is read twice, and none that holds nothing of them, but for what is not worth a seek.
        """
        for run in _runs(wanted):
            for told in run:
                if min(told.offset, told.size) < 0 or told.offset + told.size >= self._table.content[-1]:
                    raise tampered(f"{told.name} is said to lie beyond the end", entry=told.name)
            first = self._table.frame_at(run[0].offset)
            with closing(self._chunks(first, run[-1].offset + run[-1].size)) as chunks:
                content = Content(chunks, self._table.content[first])
                for told in run:
                    for _ in content.views(told.offset - content.offset):
                        pass
                    entry = Entry(
                        Member(told.name, told.kind, told.size, target=told.target), content, sha256=told.sha256
                    )
                    yield entry
                    entry.finish()

    def _chunks(self, first: int, end: int) -> Generator[bytes, None, None]:
        """The content of the frames from the first on to that which holds the tar's byte before ``end``."""
        with Conveyor[bytes]() as conveyor:
            for frame in range(first, self._table.frame_at(end - 1) + 1):
                conveyor.submit(decode_frame, self._frame(frame))
                yield from conveyor.results(keep=AHEAD_FRAMES)
            yield from conveyor.results()

    def _frame(self, number: int) -> WholeFrame:
        offset, size = self._table.compressed[number], self._table.compressed_bytes(number)
        content_bytes = self._table.content_bytes(number)
        if content_bytes > FRAME_BYTES or size > MAX_FRAME_BYTES:
            raise tampered(f"a frame of {size} bytes at byte {offset}")
        return WholeFrame(read_at(self._source, offset, size), offset, content_bytes)


def _runs(wanted: Iterable[ManifestEntry]) -> Iterator[list[ManifestEntry]]:
    """Neighbours, with less than a frame between one and the next."""
    run: list[ManifestEntry] = []
    for told in wanted:
        if run and not 0 <= told.offset - run[-1].offset - run[-1].size < FRAME_BYTES:
            yield run
            run = []
        run.append(told)
    if run:
        yield run


@contextmanager
def open_entry(source: Path | BinaryIO, name: str, *, limits: Limits | None = None) -> Iterator[Entry]:
    """One entry of an archive, given by its path or as a seekable stream; :class:`NotFound` if it has none such.

    From a zstd archive of ours it comes verified. From any other it comes as it stands: its hash, if there is one,
    lies at the far end. Good enough to look at, not to act upon.
    """
    with _opened(source) as stream:
        index = Index.load(stream, limits=limits)
        if index is not None:
            with index.open(name) as entry:
                yield entry
            return
        stream.seek(0)
        with closing(ArchiveReader(stream, limits=limits)) as reader:
            for entry in reader:
                if entry.name == name:
                    yield entry
                    return
        raise NotFound(f"the archive has no {name}", entry=name)


def _told(raw: bytes) -> Manifest:
    """The manifest in the last frame, which is written in one way only."""
    content = zstdformat.unstore(raw)
    if content is None:
        raise tampered("its end is not what pyodcr writes")
    rest = Content(iter([content]))
    found = headers.read(rest.exactly, 0)
    if found is None or found[0].name != names.MANIFEST:
        raise tampered("its end is not what pyodcr writes")
    member, _ = found
    document = rest.exactly(member.size)
    if manifest.tail(member, document) != content:
        raise tampered("its end is not what pyodcr writes")
    return manifest.parse(document)


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise files.failed("read", source, error) from error
    with stream:
        yield stream
