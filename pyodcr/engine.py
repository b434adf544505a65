"""The façade: wires the parts together, and is the public Python API beside the models.

    with Engine(config.load()) as engine:
        engine.run(CreateOptions(image="busybox", command=("sleep", "60")))
        engine.checkpoint("web", DumpOptions(export="s3://backups/web.tar.zst"))

Each method is one verb; what a verb needs is imported when it is called, so that a short command
(``ps``) does not pay for a long one (``checkpoint --export s3://...``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pyodcr.config import Config
from pyodcr.errors import NotFound, WrongState
from pyodcr.lifecycle.context import Context
from pyodcr.lifecycle.models import Container, Event, Volume

if TYPE_CHECKING:
    from pyodcr.checkpoint.hostcheck import CheckResult
    from pyodcr.checkpoint.options import DumpOptions, Outcome, Progress, RestoreOptions, Warn
    from pyodcr.lifecycle.attach import Streams
    from pyodcr.lifecycle.network.definitions import Network, NewNetwork
    from pyodcr.lifecycle.network.networks import NetworkStore
    from pyodcr.lifecycle.ops.exec import ExecOptions
    from pyodcr.lifecycle.ops.listing import ListOptions
    from pyodcr.lifecycle.ops.logs import LogLine, LogOptions
    from pyodcr.lifecycle.ops.prune import Leftover
    from pyodcr.lifecycle.ops.remove import RemoveOptions
    from pyodcr.lifecycle.ops.stop import StopOptions
    from pyodcr.lifecycle.ops.unfinished import Unfinished
    from pyodcr.lifecycle.options import CreateOptions
    from pyodcr.lifecycle.storage.images import Image
    from pyodcr.lifecycle.storage.imagestore import ImageStore, Removed
    from pyodcr.lifecycle.storage.progress import Progress as StorageProgress
    from pyodcr.lifecycle.storage.pulling import PullPolicy
    from pyodcr.lifecycle.storage.skopeo import Access


def _abort_upload(config: Config) -> Callable[[Mapping[str, str]], None]:
    def abort(recovery: Mapping[str, str]) -> None:
        from pyodcr.checkpoint.destinations import registry

        registry.abort(recovery, config)

    return abort


class Engine:
    """One pyodcr root. Not thread-safe; any number of processes may work on the same root."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._ctx = Context(config, abort_upload=_abort_upload(config))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ctx.close()

    # --- stores -----------------------------------------------------------------------------

    @property
    def images(self) -> ImageStore:
        return self._ctx.images

    @property
    def networks(self) -> NetworkStore:
        return self._ctx.networks

    # --- looking ----------------------------------------------------------------------------

    def containers(self) -> list[Container]:
        """Every container as it is now, each after those it depends on; takes no lock and waits for nothing."""
        from pyodcr.lifecycle import order, refresh

        return [
            refresh.shown(container, self._ctx.place(container))
            for container in order.needed_first(self._ctx.containers())
        ]

    def container(self, ref: str) -> Container:
        """One container as it is now; :class:`~pyodcr.errors.NotFound`, :class:`~pyodcr.errors.Ambiguous`."""
        from pyodcr.lifecycle import refresh

        found = self._ctx.find(ref)
        return refresh.shown(found, self._ctx.place(found))

    def listed(self, options: ListOptions) -> list[dict[str, Any]]:
        """What ``podman ps --format json`` lists, but for what is told relative to now."""
        from pyodcr.lifecycle.ops import listing

        return listing.listed(self._ctx, self.containers(), options)

    def inspect(self, ref: str, *, size: bool = False) -> dict[str, Any]:
        """``podman container inspect``'s object."""
        from pyodcr.lifecycle.ops import inspect

        return inspect.inspect(self._ctx, self.container(ref), size=size)

    def logs(self, refs: Sequence[str], options: LogOptions) -> Iterator[LogLine]:
        from pyodcr.lifecycle.ops import logs

        return logs.logs(self._ctx, refs, options)

    def diff(self, ref: str) -> Sequence[tuple[str, str]]:
        """(kind, path): A added, C changed, D deleted, as ``podman diff``."""
        from pyodcr.lifecycle.ops import diff

        return diff.diff(self._ctx, ref)

    def events(self, *, since: float = 0.0) -> list[tuple[int, Event]]:
        """Recorded events with their numbers, oldest first; ``since`` in seconds since the epoch."""
        return self._ctx.db.events(since=since)

    def last_event(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._ctx.db.last_event()

    def follow_events(self, after: int) -> list[tuple[int, Event]]:
        """The events after number ``after``."""
        return self._ctx.db.events(after=after)

    # --- living -----------------------------------------------------------------------------

    def create(self, options: CreateOptions) -> Container:
        from pyodcr.lifecycle.ops import create

        return create.create(self._ctx, options)

    def start(self, ref: str, *, before: Callable[[Container], None] = lambda _: None) -> Container:
        """``before`` is called when the container exists and its init still waits: to attach without losing a byte."""
        from pyodcr.lifecycle.ops import start

        return start.start(self._ctx, ref, before=before)

    def stop(self, ref: str, options: StopOptions) -> Container:
        from pyodcr.lifecycle.ops import stop

        return stop.stop(self._ctx, ref, options)

    def kill(self, ref: str, signal: int, *, force: bool = False) -> Container:
        from pyodcr.lifecycle.ops import stop

        return stop.kill(self._ctx, ref, signal, force=force)

    def pause(self, ref: str) -> Container:
        from pyodcr.lifecycle.ops import pause

        return pause.pause(self._ctx, ref)

    def unpause(self, ref: str) -> Container:
        from pyodcr.lifecycle.ops import pause

        return pause.unpause(self._ctx, ref)

    def restart(self, ref: str, options: StopOptions) -> Container:
        from pyodcr.lifecycle.ops import restart

        return restart.restart(self._ctx, ref, options)

    def remove(self, ref: str, options: RemoveOptions) -> Container:
        from pyodcr.lifecycle.ops import remove

        return remove.remove(self._ctx, ref, options)

    def wait(self, ref: str) -> int:
        """Wait for a container to die; its exit code."""
        from pyodcr.lifecycle.ops import stop

        return stop.wait(self._ctx, ref)

    def cleanup(self, container_id: str) -> None:
        """What conmon's exit command calls."""
        from pyodcr.lifecycle.ops import cleanup

        cleanup.cleanup(self._ctx, container_id)

    def relieve(self, operation_id: str) -> None:
        """What the guard of a checkpoint or restore calls when its owner has died."""
        from pyodcr.lifecycle import recovery

        recovery.relieve(self._ctx, operation_id)

    def discard(self, container_id: str) -> None:
        """Remove a container that could not be started; one that runs after all, or is gone, is left alone."""
        from pyodcr.lifecycle.ops import remove

        with suppress(NotFound, WrongState):
            remove.remove(self._ctx, container_id, remove.RemoveOptions(volumes=True))

    def forget_exec(self, container_id: str, session_id: str) -> None:
        """What conmon's exit command calls when a command in a container has ended."""
        from pyodcr.lifecycle.ops import exec as exec_

        exec_.forget(self._ctx, container_id, session_id)

    def exec(
        self,
        ref: str,
        options: ExecOptions,
        streams: Streams,
        attached: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    ) -> int:
        """Run a command in a running container; its exit code. ``attached``: see :func:`.ops.exec.exec_`."""
        from pyodcr.lifecycle.ops import exec as exec_

        return exec_.exec_(self._ctx, ref, options, streams, attached)

    def exec_detached(self, ref: str, options: ExecOptions) -> str:
        """Start a command in a running container; the session's ID."""
        from pyodcr.lifecycle.ops import exec as exec_

        return exec_.exec_detached(self._ctx, ref, options)

    def bundle(self, container: Container) -> Path:
        """Where the container's attach socket and control FIFO are."""
        return self._ctx.place(container).bundle

    # --- files ------------------------------------------------------------------------------

    def mount(self, ref: str) -> Path:
        from pyodcr.lifecycle.ops import mount

        return mount.mount(self._ctx, ref)

    def unmount(self, ref: str, *, force: bool = False) -> Container:
        from pyodcr.lifecycle.ops import mount

        return mount.unmount(self._ctx, ref, force=force)

    def export(self, ref: str, sink: BinaryIO) -> None:
        """The root filesystem as a tar."""
        from pyodcr.lifecycle.ops import export

        export.export(self._ctx, ref, sink)

    # --- volumes, networks, images ----------------------------------------------------------

    def create_volume(
        self, name: str, *, labels: Mapping[str, str], options: Mapping[str, str], driver: str, ignore: bool
    ) -> Volume:
        return self._ctx.volumes.create(name, driver=driver, labels=labels, options=options, ignore=ignore)

    def volumes(self) -> Sequence[Volume]:
        return self._ctx.volumes.list()

    def volume(self, ref: str) -> Volume:
        return self._ctx.volumes.find(ref)

    def listed_volumes(self, filters: Sequence[str]) -> Sequence[Volume]:
        """The volumes that ``NAME=VALUE`` filters choose."""
        from pyodcr.lifecycle.ops import volumes

        return volumes.listed(self._ctx, filters)

    def remove_volume(self, ref: str, *, force: bool, timeout_s: int | None = None) -> Volume:
        from pyodcr.lifecycle.ops import volumes

        return volumes.remove(self._ctx, ref, force=force, timeout_s=timeout_s)

    def listed_networks(self, filters: Sequence[str]) -> Sequence[Network]:
        """The networks that ``NAME=VALUE`` filters choose."""
        from pyodcr.lifecycle.ops import networks

        return networks.listed(self._ctx, filters)

    def network_users(self, name: str) -> Sequence[Container]:
        from pyodcr.lifecycle.ops import networks

        return networks.users(self._ctx, name)

    def create_network(self, asked: NewNetwork) -> Network:
        from pyodcr.lifecycle.ops import networks

        return networks.create(self._ctx, asked)

    def remove_network(self, ref: str, *, force: bool, timeout_s: int | None = None) -> Network:
        from pyodcr.lifecycle.ops import networks

        return networks.remove(self._ctx, ref, force=force, timeout_s=timeout_s)

    def import_image(
        self,
        source: BinaryIO | Path,
        name: str,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        architecture: str = "",
        report: StorageProgress | None = None,
    ) -> Image:
        from pyodcr.lifecycle.ops import images

        return images.import_rootfs(
            self._ctx, source, name, changes=changes, message=message, architecture=architecture, report=report
        )

    def pull_image(
        self, ref: str, *, policy: PullPolicy, access: Access | None = None, report: StorageProgress | None = None
    ) -> Image:
        from pyodcr.lifecycle.ops import images

        return images.pull(self._ctx, ref, policy=policy, access=access, report=report)

    def tag_image(self, ref: str, name: str) -> Image:
        from pyodcr.lifecycle.ops import images

        return images.tag(self._ctx, ref, name)

    def listed_images(self, filters: Sequence[str]) -> list[dict[str, Any]]:
        from pyodcr.lifecycle.ops import images

        return images.listed(self._ctx, filters)

    def remove_image(self, ref: str, *, force: bool, every_name: bool = False) -> Removed:
        from pyodcr.lifecycle.ops import images

        return images.remove(self._ctx, ref, force=force, every_name=every_name)

    # --- checkpoint and restore -------------------------------------------------------------

    def checkpoint(self, ref: str, options: DumpOptions, progress: Progress | None = None) -> Outcome:
        from pyodcr.checkpoint import dump
        from pyodcr.checkpoint.options import no_progress

        return dump.checkpoint(self._ctx, ref, options, progress or no_progress)

    def restore(
        self, ref: str, options: RestoreOptions, progress: Progress | None = None, warn: Warn | None = None
    ) -> Outcome:
        """Restore ``ref``, or with ``options.source`` a container from that archive (``ref`` is then empty)."""
        from pyodcr.checkpoint import restore
        from pyodcr.checkpoint.options import no_progress, no_warning

        if options.source:
            return restore.restore_archive(self._ctx, options, progress or no_progress, warn or no_warning)
        return restore.restore(self._ctx, ref, options, progress or no_progress)

    # --- the host ---------------------------------------------------------------------------

    def check_host(self) -> Sequence[CheckResult]:
        from pyodcr.checkpoint import hostcheck

        return hostcheck.check(self.config)

    def info(self) -> dict[str, Any]:
        """``podman info``'s object, the parts that apply."""
        from pyodcr.checkpoint import hostinfo

        return hostinfo.info(self.config, self.containers(), images=len(self._ctx.images.list()))

    def versions(self) -> dict[str, Any]:
        """``podman version``'s client object, with the programs that matter here."""
        from pyodcr.checkpoint import hostinfo

        return hostinfo.versions(self.config)

    def unfinished(self) -> Sequence[Unfinished]:
        """The open checkpoints and restores, and what would be done about those whose owner is dead."""
        from pyodcr.lifecycle.ops import unfinished

        return unfinished.unfinished(self._ctx)

    def prune(self) -> Sequence[Leftover]:
        """Remove what killed processes left behind; no container, image, volume or network is touched."""
        from pyodcr.lifecycle.ops import prune

        return prune.prune(self._ctx)
