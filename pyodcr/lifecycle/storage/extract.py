"""A tar stream's entries, placed below the working directory. Runs in the confined child (see :mod:`confined`) alone.

The process is chrooted into the target, so whatever a hostile name or link says, it means a place inside; this
module only has to do what an honest archive wants. What exists gives way to what comes, whatever kind either is; only
directories are merged. A file is never opened to be overwritten, it is made anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TypeVar

from pyodcr.lifecycle.storage.removal import Deletions, remove_tree
from pyodcr.lifecycle.storage.tar import Entry, Kind, TarInvalid
from pyodcr.lifecycle.storage.tar_reader import TarReader
from pyodcr.linux import beneath, xattrs

T = TypeVar("T")

# OCI image-spec, layer.md: how a layer says that something of the layers below is gone.
WHITEOUT = ".wh."
OPAQUE_WHITEOUT = ".wh..wh..opq"
_AUFS_PRIVATE = ".wh..wh."  # the bookkeeping of aufs, in very old images

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IMPLIED_DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may unpack to; None: anything."""

    entries: int | None = None
    size_bytes: int | None = None


class Extraction:
    """One tar being unpacked, and what a list says was deleted removed.

    ``layer``: as a lower directory of an overlay, whiteouts in overlayfs's own form.

    It works in the directory of each entry, whose own name is then all that the kernel has to look up: entries of one
    directory mostly follow each other, and a path may be longer than the kernel takes.
    ``at`` is the entry under work, for the error message.
    """

    def __init__(self, reader: TarReader, limits: Limits, deletions: Deletions, *, layer: bool) -> None:
        self.at = "."
        self.entries = 0
        self.size_bytes = 0
        self.unsupported_xattrs = 0
        self._reader = reader
        self._limits = limits
        self._deletions = deletions
        self._layer = layer
        self._root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directory = ""
        self._directory_mtimes: dict[str, int] = {}

    def run(self) -> None:
        """Raises :class:`TarInvalid` and :class:`OSError`."""
        for entry in self._reader:
            self.at = entry.name
            self._count(entry)
            self._deletions.keep(entry.name)
            directory, _, name = entry.name.rpartition("/")
            if self._layer and name.startswith(WHITEOUT):
                self._whiteout(directory, name)
            elif not (self._layer and entry.name == "." and entry.kind is Kind.DIRECTORY):  # see layers.ROOT_MODE
                self._enter(directory)
                self._place(entry, name)
        self.at = "."
        self._deletions.carry_out(self._root)
        for path, mtime_ns in self._directory_mtimes.items():
            # Only now, after all that was put in; what was replaced later by something else is no directory any more.
            with suppress(FileNotFoundError, NotADirectoryError):
                directory, _, name = path.rpartition("/")
                self._change_to(directory)
                os.utime(name, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def _count(self, entry: Entry) -> None:
        self.entries += 1
        self.size_bytes += entry.data_bytes
        if self._limits.entries is not None and self.entries > self._limits.entries:
            raise TarInvalid(f"it has more than {self._limits.entries} entries")
        if self._limits.size_bytes is not None and self.size_bytes > self._limits.size_bytes:
            raise TarInvalid(f"it unpacks to more than {self._limits.size_bytes} bytes")

    def _enter(self, directory: str) -> None:
        """Go to work in ``directory`` (``""``: the root), made with all above it if it is not there."""
        if directory == self._directory:
            return
        try:
            self._change_to(directory)
        except FileNotFoundError:
            self._change_to("")
            for name in directory.split("/"):
                with suppress(FileExistsError):
                    os.mkdir(name, _IMPLIED_DIRECTORY_MODE)
                os.chdir(name)
        self._directory = directory

    def _change_to(self, directory: str) -> None:
        os.fchdir(self._root)
        if directory:
            for piece in beneath.pieces(directory):
                os.chdir(piece)

    def _place(self, entry: Entry, name: str) -> None:
        match entry.kind:
            case Kind.DIRECTORY:
                self._make_directory(entry, name)
            case Kind.FILE:
                self._file(entry, name)
            case Kind.HARD_LINK:
                self._hard_link(entry, name)
            case Kind.SYMLINK:
                self._create(entry, name, lambda: os.symlink(entry.target, name))
                os.chown(name, entry.uid, entry.gid, follow_symlinks=False)
                os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
            case Kind.FIFO | Kind.CHARACTER_DEVICE | Kind.BLOCK_DEVICE:
                mode = _DEVICE_MODES[entry.kind]
                self._create(entry, name, lambda: os.mknod(name, mode, entry.device))
                self._stamp(name, entry)

    def _make_directory(self, entry: Entry, name: str) -> None:
        found = _lstat(name)
        if found is None:
            os.mkdir(name, _IMPLIED_DIRECTORY_MODE)
        elif not stat.S_ISDIR(found.st_mode):
            os.unlink(name)
            os.mkdir(name, _IMPLIED_DIRECTORY_MODE)
            if self._layer and _is_whiteout(found):  # what the whiteout hid below stays hidden
                _make_opaque(name)
        self._stamp(name, entry)
        self._directory_mtimes[entry.name] = entry.mtime_ns

    def _file(self, entry: Entry, name: str) -> None:
        fd = self._create(entry, name, lambda: os.open(name, _NEW_FILE, 0o600))
        try:
            for offset, length in entry.data:
                if offset:
                    os.lseek(fd, offset, os.SEEK_SET)
                for chunk in self._reader.chunks(length):
                    _write(fd, chunk)
            if entry.segments is not None:
                os.ftruncate(fd, entry.size)
            self._stamp(fd, entry)
        finally:
            os.close(fd)

    def _hard_link(self, entry: Entry, name: str) -> None:
        if entry.target == entry.name:
            raise TarInvalid(f"{entry.name} is a hard link to itself")
        try:
            self._create(entry, name, lambda: self._link(entry.target, name))
        except FileNotFoundError:
            raise TarInvalid(f"{entry.name} is a hard link to {entry.target}, which is not there") from None

    def _link(self, target: str, name: str) -> None:
        *ways, last = beneath.pieces(target)
        with ExitStack() as opened:
            here = self._root
            for way in ways:
                here = os.open(way, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
                opened.callback(os.close, here)
            os.link(last, name, src_dir_fd=here, follow_symlinks=False)

    def _stamp(self, place: str | int, entry: Entry) -> None:
        """Owner, mode, attributes, time: in this order, for a change of owner clears setuid bits and capabilities."""
        os.chown(place, entry.uid, entry.gid)
        os.chmod(place, entry.mode)
        wanted = {name: value for name, value in entry.xattrs.items() if xattrs.travels(name)}
        self.unsupported_xattrs += xattrs.replace(place, wanted)
        os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))

    def _whiteout(self, directory: str, name: str) -> None:
        try:
            self._enter(directory)
        except NotADirectoryError:  # already hidden, with the directory it is in
            return
        if name == OPAQUE_WHITEOUT:
            _make_opaque(".")
            return
        if name.startswith(_AUFS_PRIVATE):
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise TarInvalid(f"{directory}/{name} hides nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0))
        except FileExistsError:  # brought by this layer, which hides only what is in the layers below
            if stat.S_ISDIR(os.lstat(hidden).st_mode):
                _make_opaque(hidden)

    def _create(self, entry: Entry, name: str, make: Callable[[], T]) -> T:
        """Do what creates ``name``, in the place of what stands there."""
        self._directory_mtimes.pop(entry.name, None)
        try:
            return make()
        except FileExistsError:
            here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                remove_tree(here, name)
            finally:
                os.close(here)
        return make()


_DEVICE_MODES = {
    Kind.FIFO: stat.S_IFIFO,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
}


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _make_opaque(path: str) -> None:
    os.setxattr(path, xattrs.OVERLAY_OPAQUE, b"y", follow_symlinks=False)


def _is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
