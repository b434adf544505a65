"""Giving files of the host to a container's user: what the option ``U`` of a bind mount asks."""

from __future__ import annotations

import os
from pathlib import Path

from pyodcr.linux import files

_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def give(path: Path, owner: tuple[int, int]) -> None:
    """Make ``path``, with all below it, belong to ``owner`` (uid, gid); links themselves, never what they point to.

    Another container may have the same directory mounted and put a link to the host's files where a directory
    was: each entry is changed by its name in the descriptor of the very directory it was found in. What vanishes
    meanwhile is passed over. Raises :class:`~pyodcr.errors.SystemFailed`.
    """
    try:
        try:
            top = os.open(path, _TOP)
        except NotADirectoryError:  # a link, too: O_DIRECTORY is looked at first
            os.chown(path, *owner, follow_symlinks=False)
            return
        try:
            os.chown(top, *owner)
            _give_below(top, owner)
        finally:
            os.close(top)
    except OSError as error:
        raise files.failed("change the owner of", path, error) from error


def _give_below(top: int, owner: tuple[int, int]) -> None:
    # fwalk opens a directory and then looks whether it is the one that had the name before, and no link
    for _, directories, others, directory in os.fwalk(".", dir_fd=top, onerror=_raise_unless_gone):
        for name in (*directories, *others):
            try:
                os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
