"""Removing what a checkpoint says was deleted. Runs in the confined child (see :mod:`confined`) alone."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pyodcr.lifecycle.storage.tar import TarInvalid
from pyodcr.lifecycle.storage.tar_reader import clean_name
from pyodcr.linux import beneath


class Deletions:
    """The paths on a checkpoint's list, and what of it a tar brings.

    Podman's list names a directory that was removed *and made again*, with its new content in the tar: of such a
    one goes only what the tar does not bring. Raises :class:`TarInvalid` where the list names no file.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._names = dict.fromkeys(clean_name(_encoded(path)) for path in paths)
        if "." in self._names:
            raise TarInvalid("it names the root")
        self._kept: set[str] = set()

    def keep(self, name: str) -> None:
        """A tar brings ``name``: it stays, with the directories it is in."""
        above = _with_ancestors(name) if self._names else ()
        if any(each in self._names for each in above):
            self._kept.update(_with_ancestors(name))

    def carry_out(self, root: int) -> None:
        """Remove them below ``root``, a directory's descriptor. What is not there is fine.

        A path through a symbolic link is passed over: it does not name what was deleted. A directory that loses
        something keeps its time: it is the checkpoint's, if the tar came before; if it comes yet, it brings that.
        """
        for path in self._names:
            pending = [path]
            while pending:
                name = pending.pop()
                found = _stat(root, name)
                if found is None:
                    continue
                if name not in self._kept:
                    _remove_in_passing(root, name)
                elif stat.S_ISDIR(found.st_mode):
                    with beneath.directory(root, name) as fd:
                        pending += [f"{name}/{child}" for child in os.listdir(fd)]


def remove_tree(root: int, path: str) -> None:
    """Remove ``path`` and all below it, but never through a mount into another filesystem.

    Level by level, not by recursion: how deep a tree is, a container decides.
    """
    top = beneath.stat(root, path)
    if not stat.S_ISDIR(top.st_mode):
        with _parent(root, path) as (parent, name):
            os.unlink(name, dir_fd=parent)
        return
    directories = [path]
    for directory in directories:
        with beneath.directory(root, directory) as fd, os.scandir(fd) as found:
            for entry in found:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=fd)
                elif entry.stat(follow_symlinks=False).st_dev == top.st_dev:
                    directories.append(f"{directory}/{entry.name}")
                else:
                    raise OSError(errno.EBUSY, "a filesystem is mounted there", f"{directory}/{entry.name}")
    for directory in reversed(directories):
        with _parent(root, directory) as (parent, name):
            os.rmdir(name, dir_fd=parent)


def _remove_in_passing(root: int, path: str) -> None:
    with _parent(root, path) as (parent, _):
        before = os.fstat(parent)
        remove_tree(root, path)
        os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextmanager
def _parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that ``path`` is in, and its name there."""
    directory, _, name = path.rpartition("/")
    with beneath.directory(root, directory or ".") as fd:
        yield fd, name


def _encoded(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except (TypeError, UnicodeEncodeError):  # the list is somebody else's JSON
        raise TarInvalid(f"it names {path!r}, which is no path") from None


def _stat(root: int, path: str) -> os.stat_result | None:
    try:
        return beneath.stat(root, path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _with_ancestors(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition("/")[0]
