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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path
from typing import NamedTuple

from pyodcr.lifecycle.storage.ledger import Ledger
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
    """Absolute paths, sorted. ``/`` is among the modified if its owner, mode or attributes are."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArchiveNames:
    """How a diff travels: ``names``, relative, go into rootfs-diff.tar; ``deleted``, absolute, into deleted.files.

    The names come directory by directory, each followed by all that is in it.
    """

    names: Ledger[str]
    deleted: tuple[str, ...]


def changes(upper: Path, lowers: Sequence[Path]) -> Diff:
    """Compare an upper directory with the lower ones below it, topmost first. Raises :class:`SystemFailed`."""
    kinds: dict[_Kind, set[str]] = {kind: set() for kind in _Kind}
    for found in _walk(upper, lowers):
        kinds[found.kind].add(found.path)
    changed = kinds[_Kind.ADDED] | kinds[_Kind.MODIFIED]
    for path in [*changed, *kinds[_Kind.DELETED]]:
        while (path := os.path.dirname(path)) != "/" and path not in changed:
            changed.add(path)
            kinds[_Kind.MODIFIED].add(path)
    added, modified, deleted = (
        tuple(sorted(kinds[kind] - ENGINES_OWN)) for kind in (_Kind.ADDED, _Kind.MODIFIED, _Kind.DELETED)
    )
    return Diff(added, modified, deleted)


def archive_names(upper: Path, lowers: Sequence[Path]) -> ArchiveNames:
    """What to pack through the *merged* mount, and what to delete, so that both together make the same tree again.

    Podman unpacks first and deletes second, so ``deleted`` names nothing that the tar has or has something
    below. A socket stays out; if it took the place of something else, that is deleted. Raises :class:`SystemFailed`.
    """
    names: Ledger[str] = Ledger()
    deleted = []
    unchanged: list[str] = []  # directories we are in that matter only if something in them does
    for found in _walk(upper, lowers):
        if found.path in ENGINES_OWN:
            continue
        above = [path for path in unchanged if found.path.startswith(f"{path}/")]
        if found.kind is _Kind.SAME:
            unchanged = [*above, found.path]
            continue
        for path in above:
            names.append(path[1:])
        unchanged = []
        if found.kind is _Kind.DELETED or (found.is_socket and found.kind is _Kind.MODIFIED):
            deleted.append(found.path)
        elif not found.is_socket:
            names.append(found.path[1:] or ".")
    return ArchiveNames(names, tuple(sorted(deleted)))


class _Kind(StrEnum):
    ADDED = "A"
    MODIFIED = "C"
    DELETED = "D"
    SAME = ""  # a directory that is in the upper one for the sake of what is in it


class _Found(NamedTuple):
    """What was found under an absolute path; the root's is ``/``.

    ``lowers`` are the directories that a directory covers: merged with them or, ``hiding``, not.
    """

    path: str
    kind: _Kind
    is_directory: bool = False
    is_socket: bool = False
    lowers: Sequence[str] = ()
    hiding: bool = False


def _walk(upper: Path, lowers: Sequence[Path]) -> Iterator[_Found]:
    """All that the upper directory holds or hides: each directory, then what is in it."""
    with ExitStack() as opened:
        try:
            root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, root)
            yield from _below(root, [str(lower) for lower in lowers])
        except OSError as error:
            raise failed("read", upper, error) from error


def _below(root: int, lowers: Sequence[str]) -> Iterator[_Found]:
    pending = [_Found("/", _compared_roots(root, lowers), is_directory=True, lowers=lowers)]
    while pending:
        here = pending.pop()
        yield here
        directories = []
        try:
            with beneath.directory(root, here.path[1:] or ".") as fd:
                for found in _compare(here, fd):
                    if found.is_directory:
                        directories.append(found)
                    else:
                        yield found
        except OSError as error:
            if error.errno not in _GONE:
                raise
        pending += reversed(directories)


def _compared_roots(root: int, lowers: Sequence[str]) -> _Kind:
    """Whoever made the upper directory gave it its time: that one says nothing."""
    if not lowers:
        return _Kind.SAME
    upper, lower = os.fstat(root), os.lstat(lowers[0])
    same = _owner_and_mode(upper) == _owner_and_mode(lower) and xattrs.read(root) == xattrs.read(lowers[0])
    return _Kind.SAME if same else _Kind.MODIFIED


def _compare(here: _Found, fd: int) -> Iterator[_Found]:
    """Compare one directory with those it covers."""
    prefix = here.path if here.path != "/" else ""
    names = sorted(os.listdir(fd))
    for name in names:
        try:
            found = _compare_name(here, f"{prefix}/{name}", fd, name)
        except OSError as error:
            if error.errno not in _GONE:
                raise
        else:
            if found is not None:
                yield found
    if here.hiding:
        for name in {name for lower in here.lowers for name in os.listdir(lower)}.difference(names):
            if _visible(here.lowers, name):
                yield _Found(f"{prefix}/{name}", _Kind.DELETED)


def _compare_name(here: _Found, path: str, fd: int, name: str) -> _Found | None:
    itself = f"/proc/self/fd/{fd}/{name}"
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    lower = _visible(here.lowers, name) if here.lowers else None
    is_directory = stat.S_ISDIR(info.st_mode)

    if _is_whiteout(itself, info):
        return None if lower is None else _Found(path, _Kind.DELETED)
    if lower is None:
        kind = _Kind.ADDED
    elif not (is_directory and lower.directories) or _differ(itself, info, lower):
        kind = _Kind.MODIFIED
    else:
        kind = _Kind.SAME
    if not is_directory:
        return _Found(path, kind, is_socket=stat.S_ISSOCK(info.st_mode))
    covered = lower.directories if lower is not None else ()
    hiding = bool(covered) and (here.hiding or _is_opaque(itself))
    return _Found(path, kind, is_directory=True, lowers=covered, hiding=hiding)


@dataclass(frozen=True, slots=True)
class _Lower:
    """What the lower directories show under a name: its topmost file, and if that is a directory, all that merge."""

    path: str
    info: os.stat_result
    directories: tuple[str, ...]


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
