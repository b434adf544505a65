"""Writing an archive's entries below a directory of ours, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from pyodcr.checkpoint.archive.conveyor import Conveyor
from pyodcr.checkpoint.archive.entry import Entry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.linux import files

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_HOLE_BYTES = 64 << 10  # zeros of this length are left out: memory is full of them
_ZEROS = bytes(_HOLE_BYTES)
_LARGE_BYTES = 1 << 20  # what is written on a thread


def extract_to(entry: Entry, directory: Path) -> None:
    """Write ``entry`` below ``directory``, a staging directory that only the caller can write to.

    Directories become 0700 and files 0600, whatever the archive says. Names are safe already
    (:mod:`.names`); yet every step is taken from the directory before it and no symlink is followed. Nothing is
    overwritten. A file half written after an error is the caller's to remove, with the directory. Nothing is
    fsynced. Zeros become holes. While one piece is written the next one is read and hashed.
    Raises :class:`SystemFailed`.
    """
    *parents, leaf = entry.name.split("/")
    try:
        with ExitStack() as stack:
            fd = _open_directory(stack, directory)
            for parent in parents:
                _make_directory(parent, fd)
                fd = _open_directory(stack, parent, fd)
            if entry.kind is Kind.DIRECTORY:
                _make_directory(leaf, fd)
                _open_directory(stack, leaf, fd)  # it may have been there, but must be one
            elif entry.kind is Kind.SYMLINK:
                os.symlink(entry.target, leaf, dir_fd=fd)
            else:
                fd = os.open(leaf, _FILE_FLAGS, 0o600, dir_fd=fd)
                stack.callback(os.close, fd)
                _copy(entry, fd)
    except OSError as error:
        raise files.failed("write", directory / entry.name, error) from error


def _copy(entry: Entry, fd: int) -> None:
    os.ftruncate(fd, entry.size)  # first: it may end in a hole, and a tmpfs has large pages within a file only
    offset = 0
    with Conveyor[None]() as writing:
        for view in entry.views():
            if len(view) < _LARGE_BYTES:
                _write((fd, offset, view))
            else:
                writing.submit(_write, (fd, offset, view))
                for _ in writing.results(keep=1):
                    pass
            offset += len(view)
        for _ in writing.results():
            pass


def _write(piece: tuple[int, int, memoryview]) -> None:
    fd, offset, view = piece
    for start, end in _data(view):
        while start < end:
            start += os.pwrite(fd, view[start:end], offset + start)


def _data(view: memoryview) -> Iterator[tuple[int, int]]:
    """Where something else than long runs of zeros is: (start, end), in order."""
    start = None
    for place in range(0, len(view), _HOLE_BYTES):
        block = view[place : place + _HOLE_BYTES]
        # a look at both ends first: comparing takes a copy
        if not block[0] and not block[-1] and bytes(block) == _ZEROS[: len(block)]:
            if start is not None:
                yield start, place
                start = None
        elif start is None:
            start = place
    if start is not None:
        yield start, len(view)


def _open_directory(stack: ExitStack, name: str | Path, parent: int | None = None) -> int:
    fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
    stack.callback(os.close, fd)
    return fd


def _make_directory(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
