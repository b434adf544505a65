"""Archives as files: without a name while they are written, under their name when they are whole and on disk.

The file is an unnamed one (``O_TMPFILE``) in the target's directory, so a process that is killed leaves nothing.
``commit`` syncs it, links it to its name and syncs the directory. Two cases need a temporary name,
``.NAME.RANDOM.tmp``: a target that exists, since linkat(2) replaces nothing and rename(2) wants a name, for the
moment between the two calls; and a filesystem without unnamed files (NFS, many of FUSE), from the beginning.
:func:`LocalDestination.abort` removes that name, which :meth:`LocalUpload.recovery` told beforehand.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pyodcr.checkpoint.destinations import descriptors
from pyodcr.checkpoint.destinations.base import Bytes, Destination, ObjectInfo
from pyodcr.checkpoint.destinations.stdio import BUFFER_BYTES, special
from pyodcr.config import Config
from pyodcr.errors import DestinationError, UsageError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
# What open(2) answers to O_TMPFILE where the filesystem, or the kernel, does not know it.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class LocalUpload:
    """Owns a descriptor of the directory and one of the file; :meth:`close` aborts what was not committed.

    One thread may still write while another closes.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        # The longest name a filesystem allows has no room for ours around it.
        stem = os.fsencode(path.name)[:200].decode(errors="ignore")
        self._temporary = path.with_name(f".{stem}.{secrets.token_hex(4)}.tmp")
        self._named = False
        self._size_bytes = 0
        self._writing = threading.Lock()
        self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._fd = self._create()
        except BaseException:
            os.close(self._directory)
            raise

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(self._path.parent, flags | os.O_TMPFILE, 0o600)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
        fd = os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, 0o600)
        self._named = True
        return fd

    def write(self, data: Bytes) -> int:
        with self._writing:
            written = descriptors.write_all(self._fd, data, self._name)
            # Despite its name this asks the kernel to begin writing (mm/fadvise.c): fsync then finds little left to do.
            os.posix_fadvise(self._fd, self._size_bytes, written, os.POSIX_FADV_DONTNEED)
        self._size_bytes += written
        return written

    def reserve(self, size: int) -> Callable[[Bytes], None]:
        offset = self._size_bytes
        self._size_bytes = os.lseek(self._fd, offset + size, os.SEEK_SET)

        def fill(data: Bytes) -> None:
            try:
                with self._writing:
                    if os.pwrite(self._fd, data, offset) != size:
                        raise OSError(errno.EIO, os.strerror(errno.EIO))
            except OSError as error:
                raise descriptors.failed("write", self._name, error) from error

        return fill

    def recovery(self) -> Mapping[str, str]:
        return {"scheme": "file", "temporary": str(self._temporary)}

    def commit(self) -> ObjectInfo:
        try:
            os.fsync(self._fd)
            self._give_name()
            os.fsync(self._directory)
            return _info(self._path, os.fstat(self._fd))
        except OSError as error:
            raise descriptors.failed("write", self._name, error) from error

    def _give_name(self) -> None:
        if not self._named:
            try:
                self._link(self._path.name)
                return
            except FileExistsError:
                self._link(self._temporary.name)
                self._named = True
        os.rename(self._temporary.name, self._path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._named = False

    def _link(self, name: str) -> None:
        # Given directory descriptors Python calls linkat(2), which alone can follow the link in /proc to the file.
        source = f"/proc/self/fd/{self._fd}"
        os.link(source, name, src_dir_fd=self._directory, dst_dir_fd=self._directory, follow_symlinks=True)

    def close(self) -> None:
        if self._named:
            with suppress(OSError):
                os.unlink(self._temporary.name, dir_fd=self._directory)
        os.close(self._directory)
        if self._writing.acquire(blocking=False):  # else a thread is stuck in a write: its number must stay its own
            os.close(self._fd)
            self._fd = -1
            self._writing.release()


class LocalDestination:
    durable = True

    def __init__(self, path: Path, name: str) -> None:
        """``path`` is absolute, ``name`` how the user wrote it."""
        self._path = path
        self._name = name

    @classmethod
    def from_url(cls, text: str, config: Config) -> Destination:
        path = Path(_path_of(text)).absolute()
        return special(path) or cls(path, text)

    @staticmethod
    def abort(recovery: Mapping[str, str], config: Config) -> None:
        path = Path(recovery["temporary"])
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise descriptors.failed("remove", str(path), error) from error

    @property
    def url(self) -> str:
        return str(self._path)

    def __str__(self) -> str:
        return self._name

    def check(self) -> None:
        with self.put():
            pass

    @contextmanager
    def put(self) -> Iterator[LocalUpload]:
        upload = self._begin()
        try:
            yield upload
        finally:
            upload.close()

    def _begin(self) -> LocalUpload:
        # A link is written through, as every other program would, and not replaced.
        path = Path(os.path.realpath(self._path))
        _require_file(path, self._name)
        if not path.parent.is_dir():
            raise DestinationError(
                f"cannot write {self._name}: the directory {path.parent} does not exist",
                code="destination-not-found",
                hint="create it, or name another",
            )
        try:
            return LocalUpload(path, self._name)
        except OSError as error:
            raise descriptors.failed("write", self._name, error) from error

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        _require_file(self._path, self._name)
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise descriptors.failed("read", self._name, error) from error
        with io.BufferedReader(descriptors.Reader(fd, self._name), BUFFER_BYTES) as stream:
            yield stream

    def stat(self) -> ObjectInfo | None:
        try:
            info = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise descriptors.failed("read", self._name, error) from error
        return _info(self._path, info) if stat.S_ISREG(info.st_mode) else None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        try:
            with os.scandir(self._path.parent) as entries:
                found = [
                    _info(Path(entry.path), entry.stat())
                    for entry in entries
                    if entry.name.startswith(prefix)
                    and entry.is_file(follow_symlinks=False)
                    and not _TEMPORARY.fullmatch(entry.name)
                ]
        except FileNotFoundError:
            return iter(())
        except OSError as error:
            raise descriptors.failed("list", str(self._path.parent), error) from error
        return iter(sorted(found, key=lambda info: info.url))

    def delete(self) -> None:
        _require_file(self._path, self._name)
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise descriptors.failed("delete", self._name, error) from error


def _path_of(text: str) -> str:
    path = text
    if text.lower().startswith("file://"):
        from urllib.parse import unquote

        host, slash, rest = text[len("file://") :].partition("/")
        if host not in ("", "localhost") or not slash:
            raise UsageError(f"{text} names no file of this host", hint="write file:///absolute/path, or just the path")
        path = "/" + unquote(rest, errors="replace")
        if "\0" in path or "\ufffd" in path:
            raise UsageError(f"{text} names no file that a URL can name", hint="write its path")
    if path.endswith("/"):
        raise UsageError(f"{text} names a directory, not an archive", hint="add a file name")
    return path


def _require_file(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # not there, or not to be seen: opening it says which
    if stat.S_ISDIR(mode):
        raise DestinationError(f"{name} is a directory", code="destination-failed", hint="add a file name")
    if not stat.S_ISREG(mode):
        raise DestinationError(f"{name} is neither a file nor a pipe", code="destination-failed")


def _info(path: Path, info: os.stat_result) -> ObjectInfo:
    modified = datetime.fromtimestamp(info.st_mtime, UTC)
    return ObjectInfo(str(path), info.st_size, modified, f"{info.st_ino:x}-{info.st_mtime_ns:x}-{info.st_size:x}")
