"""restore: bring a container back from its images, from the archive it went into, or from any archive.

    source ─> one pass: every entry into staging, hashed ─> verified ─> container made from config.dump, spec.dump
      ─> operation row ─> root filesystem, volumes, /dev/shm, network ─> conmon --restore ─> running

Nothing of an archive is used before all of it was verified. A restore that fails leaves the archive and the
local images as they were, and no container that was not there before.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.checkpoint import capture, preflight, stats
from pyodcr.checkpoint.destinations import registry
from pyodcr.checkpoint.hook import write_configuration
from pyodcr.checkpoint.importing import import_container, unpack_archive, without_static
from pyodcr.checkpoint.options import Outcome, Progress, RestoreOptions, Warn, no_progress, no_warning
from pyodcr.checkpoint.undertaking import Undertaking
from pyodcr.errors import ArchiveInvalid, NotFound, PyodcrError, RuntimeFailed, WrongState
from pyodcr.lifecycle import prepare, recovery, restored
from pyodcr.lifecycle.models import Container, NamedVolume, NetworkOptions
from pyodcr.lifecycle.network.status import reuse
from pyodcr.lifecycle.operations import Kind, Stage, opened, opened_import
from pyodcr.lifecycle.storage import unpack
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.checkpoint.destinations.base import Destination
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

LOGS = (stats.DUMP_LOG, stats.RESTORE_LOG, stats.STATS_DUMP, stats.STATS_RESTORE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts lie that a restore is made of; ``fresh``: the root filesystem and volumes are to be filled."""

    images: Path
    parts: Path
    fresh: bool

    def part(self, name: str) -> Path | None:
        path = self.parts / name
        return path if path.is_file() else None

    def network_status(self) -> Mapping[str, Any] | None:
        status = self._document(capture.NETWORK)
        if status is not None and not isinstance(status, dict):
            raise ArchiveInvalid(f"the checkpoint's {capture.NETWORK} is not a JSON object")
        return status

    def deleted_files(self) -> list[str]:
        paths = self._document(capture.DELETED) or []
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ArchiveInvalid(f"the checkpoint's {capture.DELETED} is not a list of paths")
        return paths

    def _document(self, name: str) -> Any:
        text = files.read(self.parts / name)
        try:
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:  # RecursionError: hostile nesting
            raise ArchiveInvalid(f"the checkpoint's {name} is not valid JSON: {error}") from error


def restore(ctx: Context, ref: str, options: RestoreOptions, progress: Progress = no_progress) -> Outcome:
    """Restore a container of this host: from its own images, else from the archive that holds its only copy."""
    began = time.monotonic()
    with ctx.locked(ref) as container:
        require(Op.RESTORE, container)
        _require_current(container)
        local = ctx.place(container).checkpoint
        has_images = bool(container.state.checkpoint_path) and (local / "inventory.img").exists()
        archive = None if has_images else _recorded_archive(ctx, container)
        url = archive.url if archive is not None else ""
        operation = opened(Kind.RESTORE, container.id, archive=url, keep=options.keep)
        ctx.db.put_operation(operation)
    with Undertaking(ctx, operation) as own:
        source = Source(local, local, fresh=False)
        if archive is not None:
            unpack_archive(archive, own.staging, progress, expected=container.id)
            source = Source(own.staging / capture.IMAGES, own.staging, fresh=False)
        return _Restore(ctx, container, options, source, own, began).run()


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
        size_bytes = unpack_archive(archive, own.staging, progress)
        imported = import_container(ctx, own.staging, options)
        for line in imported.warnings:
            warn(line)
        config = imported.container.config
        # nobody removes the image before the record names it
        with ctx.images.using(config.image_id) if config.image_id else nullcontext():
            container = own.adopt(imported.container)
        source = Source(own.staging / capture.IMAGES, own.staging, fresh=True)
        outcome = _Restore(ctx, container, options, source, own, began, imported.new_volumes).run()
    return replace(outcome, content_bytes=size_bytes)


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


@dataclass(slots=True)
class _Restore:
    """The state of one restore while it runs."""

    ctx: Context
    container: Container
    options: RestoreOptions
    source: Source
    own: Undertaking
    began: float
    new_volumes: tuple[NamedVolume, ...] = ()
    runtime_s: float = 0.0

    def run(self) -> Outcome:
        with self.ctx.locked(self.container.id, during=self.own.operation.id) as self.container:
            self.own.settled = False
            try:
                self._restore()
            except BaseException as error:
                told = self._explained(error)
                self._undo()
                if told is error:
                    raise
                raise told from error
            self.own.settled = True
            statistics = stats.read_restore(self.ctx.place(self.container).bundle)
            self._consume()
        return Outcome(
            container=self.container,
            duration_us=int((time.monotonic() - self.began) * 1e6),
            runtime_us=int(self.runtime_s * 1e6),
            statistics=statistics,
            archive=self.own.operation.archive,
        )

    def _restore(self) -> None:
        ctx, place = self.ctx, self.ctx.place(self.container)
        self._make_volumes()
        with prepare.reserved_ports(ctx, self.container) as inherited, ExitStack() as undo:
            runtime = ctx.runtime(self.container)
            write_configuration(place.criu, runtime.name, preflight.criu_options())
            for name in (stats.RESTORE_LOG, stats.STATS_RESTORE):  # of an earlier try
                files.remove(place.bundle / name)
            prepared = prepare.prepare(
                ctx, self.container, undo, networks=self._networks(), lock_network=self.options.tcp_established
            )
            self._fill(prepared)
            self.own.record(Stage.RESTORING)
            undo.pop_all()  # from here on whether it came back decides what is undone
            called = time.monotonic()
            flags = [flag for flag, wanted in self._flags() if wanted]
            started = ctx.conmon.restore(
                prepared.container.config, runtime, self.source.images, flags, inherited=inherited
            )
            self.runtime_s = time.monotonic() - called
            finishing = replace(self.own.operation, stage=Stage.FINISHING)
            self.container = restored.record(ctx, prepared.container, finishing, started)
            self.own.operation = finishing
            if self.options.tcp_established:  # CRIU takes our lock for its own only if it locks with iptables, too
                recovery.unlock_network(self.container)

    def _make_volumes(self) -> None:
        """Those of an import are its own: one that somebody has made since we looked is not written over."""
        for volume in self.new_volumes:
            made = (*self.own.operation.new_volumes, volume.name)
            operation = replace(self.own.operation, new_volumes=made)
            self.ctx.volumes.create(volume.name, anonymous=volume.anonymous, operation=operation)
            self.own.operation = operation

    def _flags(self) -> tuple[tuple[str, bool], ...]:
        return (("--tcp-established", self.options.tcp_established), ("--file-locks", self.options.file_locks))

    def _networks(self) -> Mapping[str, NetworkOptions] | None:
        """How the networks are joined: with the addresses of the dump, unless it is a copy or they are not wanted."""
        try:
            return reuse(
                self.container.config.networks,
                None if self.options.name else self.source.network_status(),
                ignore_static_ip=self.options.ignore_static_ip,
                ignore_static_mac=self.options.ignore_static_mac,
            )
        except jsonio.JsonInvalid as error:
            raise ArchiveInvalid(f"the checkpoint's {capture.NETWORK} makes no sense: {error}") from error

    def _fill(self, prepared: prepare.Prepared) -> None:
        """Put back what memory alone does not hold."""
        config, place = self.container.config, self.ctx.place(self.container)
        shm = self.source.part(capture.SHM)
        if shm is not None and not config.no_shm:
            _untar(shm, place.shm)
        if not self.source.fresh:
            return
        if not self.options.ignore_rootfs and (config.rootfs_overlay or not config.rootfs):  # else it is the host's own
            changes = self.source.part(capture.ROOTFS)
            kept = unpack.names(changes) if changes is not None else frozenset()
            unpack.remove(prepared.rootfs, self.source.deleted_files(), keep=kept)
            if changes is not None:
                _untar(changes, prepared.rootfs)
        if not self.options.ignore_volumes:
            self._fill_volumes()
        output = self.source.part(capture.LOG)
        if output is not None and config.log_path == str(place.log):
            files.move(output, place.log)

    def _fill_volumes(self) -> None:
        """What the image has in their places was copied into them: the checkpoint's content is all there shall be."""
        for name in dict.fromkeys(volume.name for volume in self.container.config.named_volumes):
            content = self.source.part(f"{capture.VOLUMES}/{name}.tar")
            if content is not None:
                mountpoint = self.ctx.volumes.find(name).mountpoint
                for path in mountpoint.iterdir():
                    files.remove_tree(path)
                _untar(content, mountpoint)

    def _explained(self, error: BaseException) -> BaseException:
        """conmon's word for a failed restore is the runtime's; CRIU's log knows why."""
        bundle = self.ctx.place(self.container).bundle
        if not isinstance(error, RuntimeFailed) or not (bundle / stats.RESTORE_LOG).exists():
            return error
        told = stats.restore_failed(bundle, self.container.name, error.message)
        if self.own.operation.imported:
            del told.details["log"]  # it goes with the container
        return told

    def _undo(self) -> None:
        """As whoever finds the operation of a dead process: a container that came back is recorded, else undone.

        What cannot be undone now is left for the next verb: the error that is to be told is the first one.
        """
        try:
            recovery.recover(self.ctx, self.ctx.db.get(self.container.id), self.own.operation)
            self.own.settled = True
        except PyodcrError as failure:
            log.warning("the restore of container %s is not all undone: %s", self.container.name, failure.message)

    def _consume(self) -> None:
        if self.options.ignore_static_ip or self.options.ignore_static_mac:
            self.container = self.ctx.db.reconfigure(
                self.container, without_static(self.container.config, self.options)
            )
        restored.use_up(self.ctx, self.container, self.own.operation)
        if not self.options.keep:
            for name in LOGS:
                files.remove(self.ctx.place(self.container).bundle / name)


def _untar(part: Path, target: Path) -> None:
    with part.open("rb") as source:
        unpack.tar(source, target)
