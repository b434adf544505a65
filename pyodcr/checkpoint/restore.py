"""restore: bring a container back from its images, from the archive it went into, or from any archive.

    operation row ─> the archive, one pass ─> config.dump, spec.dump: the container is made, its file systems mounted
      ─> every entry to its place, images to staging, all of it hashed ─> verified
      ─> network ─> conmon --restore ─> running

Nothing of an archive is started before all of it was verified. A restore that fails leaves the archive and the
local images as they were, and no container, volume, mount or network that was not there before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.checkpoint import capture, preflight, stats
from pyodcr.checkpoint.archive.invalid import shown
from pyodcr.checkpoint.destinations import registry
from pyodcr.checkpoint.hook import write_configuration
from pyodcr.checkpoint.importing import import_container, without_static
from pyodcr.checkpoint.options import Outcome, Progress, RestoreOptions, Warn, no_progress, no_warning
from pyodcr.checkpoint.receiving import LAST_IMAGE, Begin, Places, Receiver, network_status, receive, receive_memory
from pyodcr.checkpoint.shelf import Shelf
from pyodcr.checkpoint.undertaking import Undertaking
from pyodcr.errors import ArchiveInvalid, NotFound, PyodcrError, RuntimeFailed, WrongState
from pyodcr.lifecycle import prepare, recovery, restored
from pyodcr.lifecycle.models import Container, ContainerConfig, NamedVolume, NetworkOptions
from pyodcr.lifecycle.network.status import reuse
from pyodcr.lifecycle.operations import Kind, Stage, opened, opened_import
from pyodcr.lifecycle.storage import unpack
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.checkpoint.destinations.base import Destination
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.paths import ContainerPaths

log = logging.getLogger(__name__)

LOGS = (stats.DUMP_LOG, stats.RESTORE_LOG, stats.STATS_DUMP, stats.STATS_RESTORE)

# CRIU frees what it has read: memory is not needed twice. Never for images that are the only ones.
THROW_AWAY = ("auto-dedup",)


def restore(ctx: Context, ref: str, options: RestoreOptions, progress: Progress = no_progress) -> Outcome:
    """Restore a container of this host: from its own images, else from the archive that holds its only copy."""
    began = time.monotonic()
    with ctx.locked(ref) as container:
        require(Op.RESTORE, container)
        _require_current(container)
        images = ctx.place(container).checkpoint
        is_local = bool(container.state.checkpoint_path) and (images / LAST_IMAGE).exists()
        archive = None if is_local else _recorded_archive(ctx, container)
        url = archive.url if archive is not None else ""
        operation = opened(Kind.RESTORE, container.id, archive=url, keep=options.keep)
        ctx.db.put_operation(operation)
    with Undertaking(ctx, operation) as own:
        work = _Restore(ctx, options, own, began)
        if archive is None:
            return work.run(lambda: work.from_images(container, images))
        return work.run(lambda: work.from_recorded(container, archive, progress))


def restore_archive(
    ctx: Context, options: RestoreOptions, progress: Progress = no_progress, warn: Warn = no_warning
) -> Outcome:
    """Make a container from an archive and restore it (``--import``); ``warn`` is called before it runs."""
    began = time.monotonic()
    ctx.refresh_after_reboot()
    recovery.sweep(ctx, imports_only=True)
    archive = registry.resolve(options.source, ctx.config)
    operation = replace(opened_import(), archive=archive.url if archive.durable else "", keep=options.keep)
    ctx.db.put_operation(operation)
    with Undertaking(ctx, operation) as own:
        work = _Restore(ctx, options, own, began)
        return work.run(lambda: work.from_archive(archive, progress, warn))


def _require_current(container: Container) -> None:
    """Only what went into its checkpoint, and has not run since, still has the files that its memory knows.

    Not so after ``checkpoint --leave-running``, or a ``restore --keep``: its files have moved on.
    """
    state = container.state
    if (state.checkpoint_path or state.checkpoint_archive) and not state.checkpointed:
        raise WrongState(
            f"container {container.name} has run since its checkpoint: its files have moved on from its memory",
            code="checkpoint-outdated",
            hint="restore --import takes files and memory of one moment, from an archive of checkpoint --export",
            checkpoint=state.checkpoint_path or state.checkpoint_archive,
        )


def _recorded_archive(ctx: Context, container: Container) -> Destination:
    url = container.state.checkpoint_archive
    if not url:
        raise NotFound(
            f"a complete checkpoint for container {container.name} cannot be found, cannot restore",
            code="no-checkpoint",
            hint="restore --import reads an archive",
        )
    archive = registry.resolve(url, ctx.config)
    if not archive.durable:
        where = "standard output" if url == "-" else f"{url}, where it cannot be read again"
        raise NotFound(
            f"the checkpoint of container {container.name} went to {where}",
            code="no-checkpoint",
            hint="give it back with restore --import",
        )
    return archive


@dataclass(frozen=True, slots=True)
class _Memory:
    """What CRIU is to restore, and the addresses that go with it."""

    images: Path
    network_status: Mapping[str, Any] | None


@dataclass(slots=True)
class _Restore:
    """The state of one restore while it runs."""

    ctx: Context
    options: RestoreOptions
    own: Undertaking
    began: float
    held: ExitStack = field(default_factory=ExitStack)  # the container's lock, and its ports
    container: Container | None = None  # when there is one, and it is locked
    mounted: prepare.Mounted | None = None
    inherited: tuple[int, ...] = ()
    content_bytes: int = 0
    runtime_s: float = 0.0

    def run(self, bring: Callable[[], _Memory]) -> Outcome:
        """``bring`` finds or makes the container (:meth:`_begin`) and fills its file systems."""
        with self.held:
            try:
                container = self._start(bring())
            except BaseException as error:
                told = self._explained(error)
                self._undo()
                if told is error:
                    raise
                raise told from error
            self.own.settled = True
            statistics = stats.read_restore(self.ctx.place(container).bundle)
            container = self._consume(container)
        return Outcome(
            container=container,
            duration_us=int((time.monotonic() - self.began) * 1e6),
            runtime_us=int(self.runtime_s * 1e6),
            statistics=statistics,
            archive=self.own.operation.archive,
            content_bytes=self.content_bytes,
        )

    # --- where it comes from ----------------------------------------------------------------

    def from_images(self, container: Container, images: Path) -> _Memory:
        """The container's own: /dev/shm and the addresses lie among them."""
        places = self._begin(container, ())
        shm, text = images / capture.SHM, files.read(images / capture.NETWORK)
        if shm.is_file() and places.shm is not None:
            with shm.open("rb") as source:
                unpack.tar(source.fileno(), places.shm, name=capture.SHM)
        return _Memory(images, network_status(text) if text is not None else None)

    def from_recorded(self, container: Container, archive: Destination, progress: Progress) -> _Memory:
        """The archive of its last checkpoint. Its files are as they were then: they are passed over."""

        def begin(configuration: Mapping[str, Any], _: Mapping[str, Any]) -> Places:
            if (found := configuration.get("id")) != container.id:
                raise ArchiveInvalid(f"it is of another container: {shown(found)}", code="archive-replaced")
            places = self._begin(container, THROW_AWAY)
            return replace(places, rootfs=None, volumes={}, bundle=None)

        return self._receive(archive, begin, progress, receive_memory)

    def from_archive(self, archive: Destination, progress: Progress, warn: Warn) -> _Memory:
        """Any archive, which brings the container along."""
        warnings: list[str] = []

        def begin(configuration: Mapping[str, Any], spec: Mapping[str, Any]) -> Places:
            imported = import_container(self.ctx, configuration, spec, self.options)
            warnings.extend(imported.warnings)
            config = imported.container.config
            # nobody removes the image before the record names it
            with self.ctx.images.using(config.image_id) if config.image_id else nullcontext():
                container = self.own.adopt(imported.container)
            return self._begin(container, THROW_AWAY, imported.new_volumes)

        memory = self._receive(archive, begin, progress)
        for line in warnings:
            warn(line)
        return memory

    def _receive(
        self,
        archive: Destination,
        begin: Begin,
        progress: Progress,
        read: Callable[[Destination, Receiver, Progress], int] = receive,
    ) -> _Memory:
        shelf = Shelf(self.own.staging, self.ctx.config.checkpoint.staging)
        receiver = Receiver(begin, shelf=shelf, waiting=self.own.staging)
        self.content_bytes = read(archive, receiver, progress)
        return _Memory(shelf.images, receiver.network_status)

    # --- the container ----------------------------------------------------------------------

    def _begin(
        self, container: Container, criu_options: tuple[str, ...], new_volumes: tuple[NamedVolume, ...] = ()
    ) -> Places:
        """Lock it and mount its file systems, all of them to be filled."""
        ctx, place = self.ctx, self.ctx.place(container)
        self.container = container = self.held.enter_context(ctx.locked(container.id, during=self.own.operation.id))
        self.own.settled = False
        self._make_volumes(new_volumes)
        self.inherited = self.held.enter_context(prepare.reserved_ports(ctx, container))
        write_configuration(place.criu, ctx.runtime(container).name, (*preflight.criu_options(), *criu_options))
        for name in (stats.RESTORE_LOG, stats.STATS_RESTORE):  # of an earlier try
            files.remove(place.bundle / name)
        self.mounted = prepare.mount(ctx, container)
        return self._places(container.config, place, self.mounted)

    def _places(self, config: ContainerConfig, place: ContainerPaths, mounted: prepare.Mounted) -> Places:
        has_overlay = bool(config.rootfs_overlay or not config.rootfs)  # else it is the host's own
        has_log = config.log_path == str(place.log)
        return Places(
            rootfs=mounted.rootfs if has_overlay and not self.options.ignore_rootfs else None,
            shm=None if config.no_shm else place.shm,
            bundle=place.bundle if has_log else None,
            volumes={} if self.options.ignore_volumes else mounted.volumes,
        )

    def _make_volumes(self, volumes: tuple[NamedVolume, ...]) -> None:
        """Those of an import are its own: one that somebody has made since we looked is not written over."""
        for volume in volumes:
            made = (*self.own.operation.new_volumes, volume.name)
            operation = replace(self.own.operation, new_volumes=made)
            self.ctx.volumes.create(volume.name, anonymous=volume.anonymous, operation=operation)
            self.own.operation = operation

    def _start(self, memory: _Memory) -> Container:
        """All is in its place, and verified: connect it, and let CRIU bring it back."""
        assert self.container is not None
        assert self.mounted is not None
        ctx, lock_network = self.ctx, self.options.tcp_established
        networks = self._networks(self.container, memory.network_status)
        container = prepare.connect(ctx, self.container, self.mounted, networks=networks, lock_network=lock_network)
        self.own.record(Stage.RESTORING)
        called = time.monotonic()
        flags = [flag for flag, wanted in self._flags() if wanted]
        runtime = ctx.runtime(container)
        started = ctx.conmon.restore(container.config, runtime, memory.images, flags, inherited=self.inherited)
        self.runtime_s = time.monotonic() - called
        finishing = replace(self.own.operation, stage=Stage.FINISHING)
        container = restored.record(ctx, container, finishing, started)
        self.own.operation = finishing
        if lock_network:  # CRIU takes our lock for its own only if it locks with iptables, too
            recovery.unlock_network(container)
        return container

    def _flags(self) -> tuple[tuple[str, bool], ...]:
        return (("--tcp-established", self.options.tcp_established), ("--file-locks", self.options.file_locks))

    def _networks(self, container: Container, status: Mapping[str, Any] | None) -> Mapping[str, NetworkOptions] | None:
        """How the networks are joined: with the addresses of the dump, unless it is a copy or they are not wanted."""
        try:
            return reuse(
                container.config.networks,
                None if self.options.name else status,
                ignore_static_ip=self.options.ignore_static_ip,
                ignore_static_mac=self.options.ignore_static_mac,
            )
        except jsonio.JsonInvalid as error:
            raise ArchiveInvalid(f"the checkpoint's {capture.NETWORK} makes no sense: {error}") from error

    def _explained(self, error: BaseException) -> BaseException:
        """conmon's word for a failed restore is the runtime's; CRIU's log knows why."""
        if not isinstance(error, RuntimeFailed) or self.container is None:
            return error
        bundle = self.ctx.place(self.container).bundle
        if not (bundle / stats.RESTORE_LOG).exists():
            return error
        told = stats.restore_failed(bundle, self.container.name, error.message)
        if self.own.operation.imported:
            del told.details["log"]  # it goes with the container
        return told

    def _undo(self) -> None:
        """As whoever finds the operation of a dead process: a container that came back is recorded, else undone.

        What cannot be undone now is left for the next verb: the error that is to be told is the first one.
        """
        if self.container is None:
            return
        try:
            recovery.recover(self.ctx, self.ctx.db.get(self.container.id), self.own.operation)
            self.own.settled = True
        except PyodcrError as failure:
            log.warning("the restore of container %s is not all undone: %s", self.container.name, failure.message)

    def _consume(self, container: Container) -> Container:
        if self.options.ignore_static_ip or self.options.ignore_static_mac:
            container = self.ctx.db.reconfigure(container, without_static(container.config, self.options))
        restored.use_up(self.ctx, container, self.own.operation)
        if not self.options.keep:
            for name in LOGS:
                files.remove(self.ctx.place(container).bundle / name)
        return container
