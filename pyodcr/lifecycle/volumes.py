"""Named volumes: directories of our own that outlive the containers using them.

The first container that mounts a new, empty volume fills it with what its image holds at that place
(copy-up), once; the rules are libpod's (CVE-2020-1726: never into a volume that holds anything).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import Ambiguous, Conflict, NotFound, SystemFailed, UsageError
from pyodcr.lifecycle.models import Container, NamedVolume, Volume
from pyodcr.linux import files, flock, mounts, rooted, syncfs

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.operations import Operation

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
REMOVED = ".removed-"  # no volume's name begins so


def random_name() -> str:
    """The name of an anonymous volume: 64 hexadecimal digits."""
    return secrets.token_hex(32)


class VolumeStore:
    def __init__(self, ctx: Context) -> None:
        self._db = ctx.db
        self._root = ctx.paths.volumes
        self._lock = ctx.paths.locks / "volumes"

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        ignore: bool = False,
        anonymous: bool = False,
        operation: Operation | None = None,
    ) -> Volume:
        """A new volume; with ``ignore`` an existing one of that name is as good.

        ``operation``: the one that makes it and says so, recorded together with it.
        """
        name = name or random_name()
        if not NAME.match(name):
            raise UsageError(
                f'volume name "{name}" is not valid', hint="letters, digits, _ . - and a letter or digit first"
            )
        if driver != "local":
            raise UsageError(f'there is no volume driver "{driver}"', hint="the one driver is local")
        if options:
            raise UsageError(f"the local driver does not take the option {next(iter(options))}")
        with self._locked():
            found = self._db.volume(name)
            if found is None:
                return self._create(name, labels or {}, operation, anonymous=anonymous)
            if not ignore:
                raise Conflict(f"volume with name {name} already exists", code="name-taken")
            return found

    def _create(
        self, name: str, labels: Mapping[str, str], operation: Operation | None = None, *, anonymous: bool
    ) -> Volume:
        volume = Volume(
            name=name,
            mountpoint=self._root / name / "_data",
            created_at=jsonio.now(),
            labels=labels,
            anonymous=anonymous,
            needs_copy_up=True,
            needs_chown=True,
        )
        self._db.add_volume(volume, operation)
        try:
            _make_directory(volume)
        except BaseException:
            self._db.remove_volume(name)
            raise
        return volume

    def list(self) -> Sequence[Volume]:
        return sorted(self._db.volumes(), key=lambda volume: volume.name)

    def find(self, ref: str) -> Volume:
        """By name, or the beginning of a name that fits only one."""
        exact = self._db.volume(ref)
        if exact is not None:
            return exact
        found = [volume for volume in self._db.volumes() if ref and volume.name.startswith(ref)]
        if len(found) == 1:
            return found[0]
        if found:
            raise Ambiguous(f'more than one volume has a name beginning with "{ref}"', hint="give more of the name")
        raise NotFound(f'no volume with name "{ref}" found: no such volume', hint="pyodcr volume ls lists them")

    def exists(self, name: str) -> bool:
        return self._db.volume(name) is not None

    def users(self, name: str) -> Sequence[Container]:
        return [
            container
            for container in self._db.containers()
            if any(volume.name == name for volume in container.config.named_volumes)
        ]

    def remove(self, ref: str) -> Volume:
        """Remove a volume that no container uses, with all it holds."""
        volume = self.find(ref)
        with self._locked():
            users = self.users(volume.name)
            if users:
                raise Conflict(
                    f"volume {volume.name} is being used by the following container(s): "
                    + ", ".join(user.id for user in users),
                    code="volume-in-use",
                    hint="remove the containers first, or use --force",
                )
            self._remove(volume)
        return volume

    def remove_anonymous(self, container: Container) -> None:
        """Remove the anonymous volumes of a container that is about to be removed, unless another uses them too."""
        with self._locked():
            for use in container.config.named_volumes:
                volume = self._db.volume(use.name)
                others = [user for user in self.users(use.name) if user.id != container.id]
                if volume is not None and volume.anonymous and not others:
                    self._remove(volume)

    def _remove(self, volume: Volume) -> None:
        # renamed first: killed in between, there is no half of it for anybody to use
        grave = self._root / f"{REMOVED}{secrets.token_hex(8)}"
        mounts.unmount_below(volume.mountpoint)
        with suppress(FileNotFoundError):
            os.rename(volume.mountpoint.parent, grave)
        self._db.remove_volume(volume.name)
        files.remove_tree(grave)

    def sweep(self) -> Sequence[str]:
        """Remove what killed removals left; returns the names of the directories."""
        left = [grave.name for grave in self._root.glob(f"{REMOVED}*")]
        if left:
            with self._locked():  # which sweeps
                left = [name for name in left if not (self._root / name).exists()]
        return left

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else makes, fills or removes volumes; what a killed removal left goes first."""
        with flock.exclusive(self._lock):
            for grave in self._root.glob(f"{REMOVED}*"):
                try:
                    files.remove_tree(grave)
                except SystemFailed as error:  # not this command's trouble
                    log.warning("what is left of a removed volume stays: %s", error.message)
            yield

    def prepare(self, use: NamedVolume, rootfs: Path, owner: tuple[int, int]) -> Path:
        """The directory to mount for ``use``; at the first use filled from the image, or given to ``owner``.

        ``rootfs`` is the container's mounted root, whose content is hostile: it is read only
        through file descriptors that cannot leave it.
        """
        with self._locked():
            # a `create` that was killed may have recorded the container and not its volumes
            volume = self._db.volume(use.name) or self._create(use.name, {}, anonymous=use.anonymous)
            if not volume.mountpoint.exists():  # a killed `rm` has taken what it held
                _make_directory(volume)
                volume = replace(volume, needs_copy_up=True, needs_chown=True)
            if volume.copying_up:
                _empty(volume.mountpoint)
            copied = volume.needs_copy_up and "nocopy" not in use.options and self._copy_up(volume, use, rootfs)
            empty = not os.listdir(volume.mountpoint)
            if volume.needs_chown and (copied or empty):
                _take_after(volume, use, rootfs, owner)
            if volume.needs_copy_up or volume.needs_chown:
                self._db.put_volume(
                    replace(
                        volume,
                        needs_copy_up=volume.needs_copy_up and empty,
                        needs_chown=False,
                        copying_up=False,
                    )
                )
        path = volume.mountpoint / use.sub_path.lstrip("/") if use.sub_path else volume.mountpoint
        if use.sub_path and volume.mountpoint not in path.resolve().parents:
            raise UsageError(f"subpath {use.sub_path} leaves volume {use.name}")
        return path

    def _copy_up(self, volume: Volume, use: NamedVolume, rootfs: Path) -> bool:
        if os.listdir(volume.mountpoint):
            return False
        from pyodcr.lifecycle.storage import pack, unpack

        with rooted.directory(rootfs, use.dest) as source:
            if source is None or not os.listdir(source):
                return False
            self._db.put_volume(replace(volume, copying_up=True))  # killed in between, the next one begins anew
            with tempfile.TemporaryFile() as spool:
                pack.scan(Path(f"/proc/self/fd/{source}")).write(spool)
                spool.seek(0)
                unpack.tar(spool, volume.mountpoint)
            syncfs.sync(volume.mountpoint)
        return True


def _make_directory(volume: Volume) -> None:
    files.make_directory(volume.mountpoint.parent)
    files.make_directory(volume.mountpoint, mode=0o755)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        files.remove_tree(path)


def _take_after(volume: Volume, use: NamedVolume, rootfs: Path, owner: tuple[int, int]) -> None:
    """Give it the owner and the mode of what it is mounted over; to ``owner`` where the image has nothing there."""
    with rooted.directory(rootfs, use.dest) as target:
        if target is None:
            os.chown(volume.mountpoint, *owner)
        else:
            found = os.fstat(target)
            os.chown(volume.mountpoint, found.st_uid, found.st_gid)
            volume.mountpoint.chmod(stat.S_IMODE(found.st_mode))
