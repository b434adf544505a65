"""What a verb may touch: the state, the locks, the runtimes, storage and network, each made at its first use.

A verb is a function over a :class:`Context` and a container's name. It does its work inside
:meth:`Context.locked`, which waits for the container's lock, refreshes the snapshot from the kernel,
and deals with an operation that another process has open on it, or left open when it died.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.config import Config
from pyodcr.errors import Busy, NotFound
from pyodcr.lifecycle import refresh
from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.models import Container, ContainerConfig, Event
from pyodcr.lifecycle.paths import ContainerPaths, Paths
from pyodcr.linux import files, flock

if TYPE_CHECKING:
    from pyodcr.lifecycle.conmon import Conmon
    from pyodcr.lifecycle.network.attach import Networking
    from pyodcr.lifecycle.network.networks import NetworkStore
    from pyodcr.lifecycle.operations import Operation
    from pyodcr.lifecycle.runtime import OciRuntime
    from pyodcr.lifecycle.storage.imagestore import ImageStore
    from pyodcr.lifecycle.volumes import VolumeStore


def _abort_nothing(_: Mapping[str, str]) -> None:
    """No destinations are wired in: there is no upload to abort."""


class Context:
    """Everything of one pyodcr root. ``abort_upload`` is given by the engine: uploads belong to a layer above."""

    def __init__(self, config: Config, *, abort_upload: Callable[[Mapping[str, str]], None] = _abort_nothing) -> None:
        self.config = config
        self.paths = Paths(config.root, config.runroot)
        self.db = Database(self.paths.database)
        self.abort_upload = abort_upload
        self._refreshed = False

    def close(self) -> None:
        self.db.close()

    @cached_property
    def conmon(self) -> Conmon:
        from pyodcr.lifecycle.conmon import Conmon

        return Conmon(self.config, self.paths)

    @cached_property
    def images(self) -> ImageStore:
        from pyodcr.lifecycle.storage.imagestore import ImageStore

        return ImageStore(self.paths.images)

    @cached_property
    def volumes(self) -> VolumeStore:
        from pyodcr.lifecycle.volumes import VolumeStore

        return VolumeStore(self)

    @cached_property
    def networks(self) -> NetworkStore:
        return self.networking.store

    @cached_property
    def networking(self) -> Networking:
        from pyodcr.lifecycle.network.attach import Networking

        return Networking(self.paths, self.config.network)

    def place(self, container: Container | ContainerConfig) -> ContainerPaths:
        return self.paths.container(container.id)

    def located(self, config: ContainerConfig) -> ContainerConfig:
        """The configuration with this host's directories in it."""
        directories = self.place(config)
        return replace(
            config,
            static_dir=str(directories.bundle),
            shm_dir="" if config.no_shm or config.ipc_container else str(directories.shm),
            log_path=config.log_path or str(directories.log),
        )

    def cgroup(self, container: Container | ContainerConfig) -> str:
        """The container's cgroup, below every hierarchy's root."""
        config = container.config if isinstance(container, Container) else container
        return f"{config.cgroup_parent or self.config.cgroup_parent}/{config.id}"

    def runtime(self, container: Container | ContainerConfig) -> OciRuntime:
        from pyodcr.lifecycle import probe
        from pyodcr.lifecycle.runtime import OciRuntime

        config = container.config if isinstance(container, Container) else container
        name = Path(config.runtime).name
        return OciRuntime(name, probe.find(self.config, config.runtime), Path("/run") / name)

    def lower_directories(self, container: Container) -> tuple[Path, ...]:
        """The read-only layers below the container's own, topmost first."""
        config = container.config
        if config.rootfs:
            return (Path(config.rootfs),)
        return self.images.lower_dirs(self.images.lookup(config.image_id))

    def find(self, ref: str) -> Container:
        """The recorded snapshot, without a lock: for reading."""
        self.refresh_after_reboot()
        return self.db.find(ref)

    def containers(self) -> list[Container]:
        self.refresh_after_reboot()
        return self.db.containers()

    def tell(self, kind: str, status: str, identity: str, name: str) -> None:
        """Containers and volumes tell of themselves, with the change of their rows; what has no row is told so."""
        self.db.tell(Event(time=jsonio.now(), type=kind, status=status, id=identity, name=name))

    @contextmanager
    def locked(self, ref: str, *, during: str = "") -> Iterator[Container]:
        """Hold the container's lock and give its refreshed snapshot.

        Another process' open operation on it is :class:`Busy`; one whose owner has died is recovered first.
        The owner itself passes its operation's ID as ``during``; then the snapshot is the recorded one, since
        the death of a container that went into its archive is not an exit.
        """
        found = self.find(ref)
        self._abandoned(found, during)  # the owner of an operation may hold the lock: do not wait for it to say busy
        lock = self.place(found).lock
        with flock.exclusive(lock):
            try:
                yield self._settled(self.db.get(found.id), ref, during)
            finally:
                if not self.db.exists(found.id):  # removed by us, or while we waited for a lock that we made anew
                    files.remove(lock)

    def _settled(self, container: Container, ref: str, during: str) -> Container:
        operation = self._abandoned(container, during)
        if operation is not None:
            from pyodcr.lifecycle import recovery

            recovered = recovery.recover(self, container, operation)
            if recovered is None:
                raise NotFound(f'no container with name or ID "{ref}" found: no such container')
            container = recovered
        return container if during else refresh.refresh(self, container)

    def _abandoned(self, container: Container, during: str) -> Operation | None:
        """The operation that a dead owner left open; :class:`Busy` for one whose owner lives, unless it is ours."""
        operation = self.db.operation(container.id)
        if operation is None or operation.id == during:
            return None
        if operation.owner_lives:
            raise _busy(container, operation)
        return operation

    def refresh_after_reboot(self) -> None:
        """Once per process: if the states belong to another boot, make them true."""
        if not self._refreshed:
            self._refreshed = True
            refresh.after_reboot(self)


def _busy(container: Container, operation: Operation) -> Busy:
    return Busy(
        f"container {container.name} is busy: {operation.kind} by process {operation.owner_pid} ({operation.stage})",
        hint="wait for it to end, or end that process" if operation.owner_pid != os.getpid() else None,
        operation=operation.id,
    )
