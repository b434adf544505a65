"""A directory tree as an uncompressed tar stream whose size is known before its first byte.

The tree is looked at once (:func:`scan`), which fixes every header and the size of every file, and read once
(:meth:`Plan.write`). In between it should hold still: a checkpoint packs while the container is frozen. Where
it did not, the stream still has the promised size: what a file gained is left out (logs grow), what it
lost is zeros, and the write ends with an error.

What goes in: modes, numeric owners, times to the nanosecond, extended attributes, hard links among the packed
files, symbolic links, devices, fifos, and files with holes as such. Sockets stay out, as in Podman: they
mean nothing without the process that listens. The root of a whole tree is its first entry, ``./``:
Podman passes over it, we restore the owner and mode of a volume from it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import ELOOP, ENOENT, ENOTDIR, ENXIO
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol, TypeAlias

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.storage import tar
from pyodcr.lifecycle.storage.ledger import Ledger
from pyodcr.lifecycle.storage.tar import Entry, Kind, Segment
from pyodcr.linux import beneath, xattrs
from pyodcr.linux.files import failed

_CHUNK_BYTES = 1 << 20
_FLUSH_BYTES = 1 << 18

# A map of holes costs a block or two; it must not outgrow what readers accept (tar.MAX_EXTENDED_BYTES).
_WORTHWHILE_HOLES_BYTES = 1 << 16
_MAX_SEGMENTS = 20_000

# Swapped for a fifo or a terminal after the look, a file must neither block us nor become our terminal.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

_GONE = (ENOENT, ENOTDIR, ELOOP)  # removed, or replaced by something else

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFIFO: Kind.FIFO,
}


class SupportsWrite(Protocol):
    """Takes all it is given, or raises."""

    def write(self, data: bytes, /) -> object: ...


# Of an entry: all that precedes its data, its name, and where in the file the data lies.
_Packed: TypeAlias = tuple[bytes, str, tuple[Segment, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What :func:`scan` saw below ``root``; ``size`` is the whole stream's in bytes, its end included."""

    root: Path
    size: int
    entries: Ledger[_Packed] = field(repr=False)

    def write(self, sink: SupportsWrite, progress: Callable[[int], None] | None = None) -> None:
        """Write exactly ``size`` bytes; ``progress`` is told of each piece, in bytes.

        Raises :class:`SystemFailed`, ``archive-source-changed``, after the last byte if a file had become shorter,
        something else, or nothing. Errors of ``sink`` are its own.
        """
        output = _Output(sink, progress)
        changed = []
        with _opened(self.root) as directories:
            for header, name, data in self.entries:
                output.write(header)
                if data and not _copy(directories, self.root, name, data, output):
                    changed.append(name)
        output.write(tar.END)
        output.flush()
        if changed:
            raise _changed(self.root / changed[0], files=len(changed))


def scan(root: Path, names: Iterable[str] | None = None) -> Plan:
    """Look at a tree: at all of it, or exactly at ``names`` (relative paths, ``.`` for the root; parents not implied).

    Names are taken in their order: let a directory be followed by all that is in it (GNU tar sets its time when it
    sees the next thing). Links are followed nowhere below ``root``. Raises :class:`SystemFailed`;
    ``archive-source-changed`` where one of ``names`` is not there.
    """
    entries: Ledger[_Packed] = Ledger()
    size = len(tar.END)
    with _opened(root) as directories:
        scanner = _Scanner(root, directories, by_name=names is not None)
        for entry in scanner.everything() if names is None else scanner.exactly(names):
            header = tar.header(entry)
            stored = entry.data_bytes
            entries.append((header, entry.name, entry.data if stored else ()))
            size += len(header) + stored + tar.padding(stored)
    return Plan(root, size, entries)


class _Scanner:
    """Turns what lies below a root into entries; remembers where each hard-linked file was met first."""

    def __init__(self, root: Path, directories: beneath.Directories, *, by_name: bool) -> None:
        self.root = root
        self.directories = directories
        self.by_name = by_name
        self.first_names: dict[tuple[int, int], str] = {}

    def everything(self) -> Iterator[Entry]:
        pending = list(self._entries("", ["."]))
        while pending:
            directory = pending.pop()
            yield directory
            children = list(self._entries("" if directory.name == "." else directory.name))
            yield from (child for child in children if child.kind is not Kind.DIRECTORY)
            pending += [child for child in reversed(children) if child.kind is Kind.DIRECTORY]

    def exactly(self, names: Iterable[str]) -> Iterator[Entry]:
        for directory, paths in groupby(names, os.path.dirname):
            yield from self._entries(directory, map(os.path.basename, paths))

    def _entries(self, directory: str, names: Iterable[str] | None = None) -> Iterator[Entry]:
        try:
            fd = self.directories.open(directory)
            for name in sorted(os.listdir(fd)) if names is None else names:
                entry = self._look(fd, directory, name)
                if entry is not None:
                    yield entry
        except OSError as error:
            self._unreadable(directory, error)

    def _look(self, fd: int, directory: str, name: str) -> Entry | None:
        try:
            return self._entry(fd, directory, name)
        except OSError as error:
            self._unreadable(os.path.join(directory, name), error)
            return None

    def _unreadable(self, path: str, error: OSError) -> None:
        """Pass over what went between two looks (a log rotated, a mail read), unless it was asked for by name."""
        if error.errno not in _GONE:
            raise failed("read", self.root / path, error) from error
        if self.by_name:
            raise _changed(self.root / path) from error

    def _entry(self, fd: int, directory: str, name: str) -> Entry | None:
        """What the file ``name`` in the directory ``fd`` is; None for a socket."""
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return None
        path = f"{directory}/{name}" if directory else name
        size, target, segments = 0, "", None
        if kind is Kind.SYMLINK:
            target = os.readlink(name, dir_fd=fd)
        elif kind is Kind.FILE:
            size = info.st_size
            if info.st_blocks * 512 < size:
                segments = _segments(fd, name, size)
        if kind is not Kind.DIRECTORY and info.st_nlink > 1:
            first = self.first_names.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                kind, target, size, segments = Kind.HARD_LINK, first, 0, None
        return Entry(
            name=path,
            kind=kind,
            mode=stat.S_IMODE(info.st_mode),
            uid=info.st_uid,
            gid=info.st_gid,
            mtime_ns=info.st_mtime_ns,
            size=size,
            segments=segments,
            target=target,
            device=info.st_rdev,
            # Without opening the file, which may be a device. A hard link repeats them: Podman's chown of
            # the second name strips the capabilities that came with the first.
            xattrs=xattrs.read(f"/proc/self/fd/{fd}/{name}"),
        )


def _segments(fd: int, name: str, size: int) -> tuple[Segment, ...] | None:
    """Where the data of a file with holes lies; None where it is better taken as a whole."""
    file = os.open(name, _READ, dir_fd=fd)
    try:
        found: list[Segment] = []
        position = 0
        while (start := _next_data(file, position, size)) < size:
            position = min(os.lseek(file, start, os.SEEK_HOLE), size)
            found.append((start, position - start))
            if len(found) >= 2 * _MAX_SEGMENTS:
                found = _joined(found)
    finally:
        os.close(file)
    if len(found) > _MAX_SEGMENTS:
        found = _joined(found)
    if size - sum(length for _, length in found) < _WORTHWHILE_HOLES_BYTES:
        return None
    if any(length % tar.BLOCK for _, length in found[:-1]):  # GNU tar begins a block for each, others do not
        return None
    if position < size:
        found.append((size, 0))  # GNU tar's way to say that the file ends in a hole
    return tuple(found)


def _joined(segments: list[Segment]) -> list[Segment]:
    """As few as a map may have: the narrowest holes between them are taken for data."""
    holes = sorted(start - sum(before) for before, (start, _) in pairwise(segments))
    too_many = len(segments) - _MAX_SEGMENTS
    narrow = holes[too_many - 1]
    found = segments[:1]
    for start, length in segments[1:]:
        first, extent = found[-1]
        if too_many and start - first - extent <= narrow:
            found[-1] = (first, start + length - first)
            too_many -= 1
        else:
            found.append((start, length))
    return found


def _next_data(file: int, position: int, size: int) -> int:
    try:
        return os.lseek(file, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == ENXIO:  # nothing but a hole up to the end
            return size
        raise


def _copy(directories: beneath.Directories, root: Path, path: str, data: tuple[Segment, ...], output: _Output) -> bool:
    """Write a file's data and the padding, exactly as long as promised; False if zeros stand for some that is gone."""
    directory, _, name = path.rpartition("/")
    try:
        file = os.open(name, _READ, dir_fd=directories.open(directory))
    except OSError as error:
        if error.errno not in (*_GONE, ENXIO):
            raise failed("read", root / path, error) from error
        stored = sum(length for _, length in data)
        output.zeros(stored + tar.padding(stored))
        return False
    try:
        whole = stat.S_ISREG(os.fstat(file).st_mode)
        stored = 0
        for offset, length in data:
            stored += length
            end = offset + length
            while whole and offset < end:
                try:
                    chunk = os.pread(file, min(_CHUNK_BYTES, end - offset), offset)
                except OSError as error:
                    raise failed("read", root / path, error) from error
                output.write(chunk)
                offset += len(chunk)
                whole = bool(chunk)
            output.zeros(end - offset)
        output.zeros(tar.padding(stored))
        return whole
    finally:
        os.close(file)


class _Output:
    """Gathers small pieces, of which a tree of small files has many, into larger writes."""

    def __init__(self, sink: SupportsWrite, progress: Callable[[int], None] | None) -> None:
        self._sink = sink
        self._progress = progress
        self._gathered = bytearray()

    def write(self, data: bytes) -> None:
        if len(data) >= _FLUSH_BYTES:
            self.flush()
            self._pass_on(data)
            return
        self._gathered += data
        if len(self._gathered) >= _FLUSH_BYTES:
            self.flush()

    def zeros(self, size: int) -> None:
        while size > 0:
            piece = min(size, _CHUNK_BYTES)
            self.write(bytes(piece))
            size -= piece

    def flush(self) -> None:
        if self._gathered:
            data = bytes(self._gathered)
            self._gathered.clear()
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self._sink.write(data)
        if self._progress is not None:
            self._progress(len(data))


@contextmanager
def _opened(root: Path) -> Iterator[beneath.Directories]:
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise failed("read", root, error) from error
    with beneath.Directories(fd) as directories:
        yield directories


def _changed(path: Path, *, files: int = 1) -> SystemFailed:
    others = f" and {files - 1} more" if files > 1 else ""
    return SystemFailed(
        f"{path}{others} changed while being archived",
        code="archive-source-changed",
        hint="stop what writes there from outside the container, and try again",
        path=str(path),
        files=files,
    )
