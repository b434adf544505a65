"""Writing an archive's entries below a directory of ours, and nowhere else."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from pyodcr.checkpoint.archive.entry import Entry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.linux import files

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract_to(entry: Entry, directory: Path) -> None:
    """Write ``entry`` below ``directory``, an empty staging directory that only the caller can write to.

    Directories become 0700 and files 0600, whatever the archive says. Names are safe already
    (:mod:`.names`); yet every step is taken from the directory before it and no symlink is followed. Nothing is
    overwritten. A file half written after an error is the caller's to remove, with the directory. Nothing is
    fsynced. Raises :class:`SystemFailed`.
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
                with os.fdopen(os.open(leaf, _FILE_FLAGS, 0o600, dir_fd=fd), "wb", buffering=0) as file:
                    entry.copy_to(file)
    except OSError as error:
        raise files.failed("write", directory / entry.name, error) from error


def _open_directory(stack: ExitStack, name: str | Path, parent: int | None = None) -> int:
    fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
    stack.callback(os.close, fd)
    return fd


def _make_directory(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
