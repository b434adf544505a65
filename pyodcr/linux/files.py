"""Files that are whole or not there: temp file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from pyodcr.errors import SystemFailed


def failed(action: str, path: Path, error: OSError) -> SystemFailed:
    """The one way an OSError about a path becomes an error of ours."""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space there, or choose another directory"
    return SystemFailed(
        f"cannot {action} {path}: {(error.strerror or str(error)).lower()}",
        code="no-space" if hint else None,
        hint=hint,
        path=str(path),
        errno=error.errno,
    )


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise failed("write", path, error) from error


def move(source: Path, target: Path) -> None:
    """Give a file or directory another name, durably: where that is on another filesystem, by way of a copy."""
    try:
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_over(source, target)
    except OSError as error:
        raise failed("move", source, error) from error
    fsync_directory(target.parent)


def _copy_over(source: Path, target: Path) -> None:
    """``target`` is not there before its copy is whole and on the disk. The source stays, with its filesystem."""
    import shutil

    from pyodcr.linux import syncfs

    temporary = target.with_name(f".{target.name}.moving")
    remove_tree(temporary)
    if source.is_dir():
        shutil.copytree(source, temporary, symlinks=True)
    else:
        shutil.copy2(source, temporary, follow_symlinks=False)
    syncfs.sync(temporary)
    os.replace(temporary, target)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file that takes ``path``'s place, durably, when the block ends well, and vanishes when it does not.

    Another process sees the old content or the new, never a part. What a killed process left goes when the file
    is next written.
    """
    # unguessable and new: where others may write, nobody waits there with a link or a file of theirs
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        _sweep(path)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise failed("write", path, error) from error
    try:
        with os.fdopen(fd, "wb") as stream:
            os.fchmod(fd, mode)
            yield stream
            stream.flush()
            os.fsync(fd)
        os.replace(temporary, path)
        fsync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise failed("write", path, error) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _sweep(path: Path) -> None:
    """Remove the temporary files of processes that died while they wrote ``path``: their names tell whose they are."""
    mine = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.[0-9a-f]{{8}}\.tmp")
    for name in os.listdir(path.parent):
        owner = mine.fullmatch(name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            path.with_name(name).unlink(missing_ok=True)


def write(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Write a small file durably and atomically."""
    with replacing(path, mode=mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def read(path: Path) -> str | None:
    """The text of a small file; None where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise failed("read", path, error) from error


def make_directory(path: Path, *, mode: int = 0o700) -> Path:
    """Make a directory if it is not there; parents that are not there either are for root alone."""
    try:
        try:
            path.mkdir(mode=mode, exist_ok=True)
        except FileNotFoundError:
            make_directory(path.parent)
            path.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise failed("create", path, error) from error
    return path


def remove(path: Path) -> None:
    """Remove a file that may be gone already."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise failed("remove", path, error) from error


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, on one mount only; what is gone already is fine.

    A mount below would be emptied with the rest (a killed ``crun restore`` leaves a bind of the root
    filesystem in the bundle), so a mount point stops it with an error instead, before anything behind it is
    touched: callers unmount first (:func:`pyodcr.linux.mounts.unmount_below`).
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        with _directory(os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
            with _directory(_enter(parent, path.name)) as top:
                _empty(top)
            os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("remove", path, error) from error


def _empty(top: int) -> None:
    """Remove all in a directory. How deep it goes a container decides: a directory in a directory is moved up here."""
    moved = (f".removing-{os.urandom(8).hex()}-{number}" for number in count())
    while names := os.listdir(top):
        for name in names:
            with suppress(FileNotFoundError):  # another process is at it as well
                if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                with _directory(_enter(top, name)) as directory, os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            os.rename(entry.name, next(moved), src_dir_fd=directory, dst_dir_fd=top)
                        else:
                            os.unlink(entry.name, dir_fd=directory)
                os.rmdir(name, dir_fd=top)


def _enter(parent: int, name: str) -> int:
    """A descriptor of a directory in a directory, unless something is mounted there."""
    from pyodcr.linux.openat2 import RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2  # ctypes: not for a short command

    try:
        return openat2(parent, name, os.O_RDONLY | os.O_DIRECTORY, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EBUSY, "a filesystem is mounted there", name) from error
        raise


@contextmanager
def _directory(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
