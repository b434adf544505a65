"""Removing what a checkpoint says was deleted. Runs in the confined child (see :mod:`confined`) alone."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from pyodcr.lifecycle.storage.tar import TarInvalid
from pyodcr.lifecycle.storage.tar_reader import clean_name
from pyodcr.linux import beneath


def remove_deleted(root: int, paths: Iterable[str], keep: Collection[str]) -> None:
    """Remove ``paths`` below ``root``, a directory's descriptor.

    ``keep`` are the names a tar brings. Podman's list names a directory that was removed *and made again*, with its new
    content in the tar: of such a one goes only what the tar does not bring. A path through a symbolic
    link is passed over: it does not name what was deleted.

    A directory that loses something keeps its time: it is the checkpoint's, if the tar came before; if it comes yet,
    it brings that.
    """
    kept = {ancestor for name in keep for ancestor in _with_ancestors(name)}
    for path in paths:
        pending = [clean_name(_encoded(path))]
        if pending == ["."]:
            raise TarInvalid("it names the root")
        while pending:
            name = pending.pop()
            found = _stat(root, name)
            if found is None:
                continue
            if name not in kept:
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


def _with_ancestors(name: str) -> Iterable[str]:
    while name:
        yield name
        name = os.path.dirname(name)
