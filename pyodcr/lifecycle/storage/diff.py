"""What a container changed in its root filesystem, read off the upper directory of its overlay.

Overlayfs (Documentation/filesystems/overlayfs.rst) keeps all changes in the upper directory: what is there
was added or modified, a *whiteout* hides the name below it, an *opaque* directory hides all that the
directories below it of that name hold. The mount is ours, with ``redirect_dir=off,metacopy=off,index=off``, so there is
nothing else to know. The kinds are ``podman diff``'s: A, C and D, the directories above a change being C.

The upper directory may change under our hands and its names are hostile, so it is walked by descriptors;
the lower ones are layers, which never change.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path

from pyodcr.linux import beneath, xattrs
from pyodcr.linux.files import failed

# Made by the engine in every container, so no change of the container's: exactly these paths, as in Podman
# (libpod/diff.go), and not what lies below them.
ENGINES_OWN = frozenset(
    {
        "/dev",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/mtab",
        "/etc/resolv.conf",
        "/proc",
        "/run",
        "/run/.containerenv",
        "/run/notify",
        "/run/podman-init",
        "/run/secrets",
        "/sys",
    }
)

_GONE = (ENOENT, ENOTDIR, ELOOP)  # removed while we look, or replaced


@dataclass(frozen=True, slots=True)
class Diff:
    """Absolute paths, sorted. ``/`` is among the modified if its owner, mode or attributes are.

    ``sockets`` are those of the added and modified that no archive can hold.
    """

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    sockets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ArchiveNames:
    """How a diff travels: ``names``, relative, go into rootfs-diff.tar; ``deleted``, absolute, into deleted.files."""

    names: tuple[str, ...]
    deleted: tuple[str, ...]


def changes(upper: Path, lowers: Sequence[Path]) -> Diff:
    """Compare an upper directory with the lower ones below it, topmost first. Raises :class:`SystemFailed`."""
    try:
        root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            walk = _Walk(root, [str(lower) for lower in lowers])
            walk.run()
        finally:
            os.close(root)
    except OSError as error:
        raise failed("read", upper, error) from error
    return walk.result()


def archive_names(diff: Diff) -> ArchiveNames:
    """What to pack through the *merged* mount, and what to delete, so that both together make the same tree again.

    Podman unpacks first and deletes second, so ``deleted`` names nothing that the tar has or has something
    below. A socket stays out; if it took the place of something else, that is deleted.
    """
    packed = {*diff.added, *diff.modified} - diff.sockets
    replaced_by_sockets = diff.sockets.intersection(diff.modified)
    return ArchiveNames(
        names=tuple(sorted(path.lstrip("/") or "." for path in packed)),
        deleted=tuple(sorted({*diff.deleted, *replaced_by_sockets})),
    )


@dataclass(frozen=True, slots=True)
class _Lower:
    """What the lower directories show under a name: its topmost file, and if that is a directory, all that merge."""

    path: str
    info: os.stat_result
    directories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A directory of the upper tree (``""``: its root) and those it covers: merged with them or, ``hiding``, not."""

    path: str
    lowers: Sequence[str]
    hiding: bool = False


class _Walk:
    def __init__(self, root: int, lowers: Sequence[str]) -> None:
        self._root = root
        self._lowers = lowers
        self._added: set[str] = set()
        self._modified: set[str] = set()
        self._deleted: set[str] = set()
        self._sockets: set[str] = set()

    def run(self) -> None:
        self._compare_roots()
        pending = [_Place("", self._lowers)]
        while pending:
            place = pending.pop()
            try:
                with beneath.directory(self._root, place.path.lstrip("/") or ".") as fd:
                    pending += self._compare(place, fd)
            except OSError as error:
                if error.errno not in _GONE:
                    raise

    def result(self) -> Diff:
        for path in [*self._added, *self._modified, *self._deleted]:
            self._modified.update(self._unmarked_parents(path))
        return Diff(
            added=tuple(sorted(self._added - ENGINES_OWN)),
            modified=tuple(sorted(self._modified - ENGINES_OWN)),
            deleted=tuple(sorted(self._deleted - ENGINES_OWN)),
            sockets=frozenset(self._sockets - ENGINES_OWN),
        )

    def _unmarked_parents(self, path: str) -> Iterator[str]:
        parent = os.path.dirname(path)
        while parent != "/" and parent not in self._added and parent not in self._modified:
            yield parent
            parent = os.path.dirname(parent)

    def _compare_roots(self) -> None:
        # Whoever made the upper directory gave it its mtime: that one says nothing.
        if self._lowers:
            upper, lower = os.fstat(self._root), os.lstat(self._lowers[0])
            if _owner_and_mode(upper) != _owner_and_mode(lower) or xattrs.read(self._root) != xattrs.read(
                self._lowers[0]
            ):
                self._modified.add("/")

    def _compare(self, place: _Place, fd: int) -> Iterator[_Place]:
        """Compare one directory; yields the directories in it that are to be compared next."""
        names = os.listdir(fd)
        for name in names:
            try:
                yield from self._compare_name(place, fd, name)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
        if place.hiding:
            hidden = {name for lower in place.lowers for name in os.listdir(lower)}.difference(names)
            self._deleted.update(f"{place.path}/{name}" for name in hidden if _visible(place.lowers, name))

    def _compare_name(self, place: _Place, fd: int, name: str) -> Iterable[_Place]:
        path = f"{place.path}/{name}"
        itself = f"/proc/self/fd/{fd}/{name}"
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        lower = _visible(place.lowers, name)
        is_directory = stat.S_ISDIR(info.st_mode)

        if _is_whiteout(itself, info):
            if lower is not None:
                self._deleted.add(path)
            return ()
        if lower is None:
            self._added.add(path)
        elif not (is_directory and lower.directories) or _differ(itself, info, lower):
            self._modified.add(path)
        if stat.S_ISSOCK(info.st_mode):
            self._sockets.add(path)
        if not is_directory:
            return ()
        covered = lower.directories if lower is not None else ()
        return (_Place(path, covered, hiding=bool(covered) and (place.hiding or _is_opaque(itself))),)


def _visible(lowers: Sequence[str], name: str) -> _Lower | None:
    """What shows of ``name`` through lower directories that are merged, topmost first."""
    top: os.stat_result | None = None
    directories: list[str] = []
    for lower in lowers:
        path = f"{lower}/{name}"
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            continue
        if _is_whiteout(path, info):
            break
        if not stat.S_ISDIR(info.st_mode):
            if not directories:
                return _Lower(path, info, ())
            break
        top = top or info
        directories.append(path)
        if _is_opaque(path):
            break
    return None if top is None else _Lower(directories[0], top, tuple(directories))


def _is_whiteout(path: str, info: os.stat_result) -> bool:
    if stat.S_ISCHR(info.st_mode):
        return info.st_rdev == 0
    # The other form, which a layer inside an overlay can have (Linux 6.7).
    return stat.S_ISREG(info.st_mode) and info.st_size == 0 and xattrs.get(path, xattrs.OVERLAY_WHITEOUT) is not None


def _is_opaque(path: str) -> bool:
    return xattrs.get(path, xattrs.OVERLAY_OPAQUE) == b"y"


def _differ(path: str, info: os.stat_result, lower: _Lower) -> bool:
    """Whether a directory differs from the one it covers, but for its content."""
    return (
        _owner_and_mode(info) != _owner_and_mode(lower.info)
        or info.st_mtime_ns != lower.info.st_mtime_ns
        or xattrs.read(path) != xattrs.read(lower.path)
    )


def _owner_and_mode(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_uid, info.st_gid, info.st_mode
