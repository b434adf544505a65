"""restore: bring a container back from its images, from the archive it went into, or from any archive.

    source ─> one pass: every entry into staging, hashed ─> verified ─> container made from config.dump, spec.dump
      ─> operation row ─> root filesystem, volumes, /dev/shm, network ─> conmon --restore ─> running

Nothing of an archive is used before all of it was verified. A restore that fails leaves the archive and the
local images as they were, and no container that was not there before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.checkpoint import capture, preflight, stats
from pyodcr.checkpoint.destinations import registry
from pyodcr.checkpoint.importing import import_container, unpack_archive
from pyodcr.checkpoint.options import Outcome, Progress, RestoreOptions, no_progress
from pyodcr.errors import ArchiveInvalid, NotFound, RuntimeFailed
from pyodcr.lifecycle import prepare, recovery, teardown
from pyodcr.lifecycle.models import Container, NetworkOptions, Status
from pyodcr.lifecycle.network.status import reuse
from pyodcr.lifecycle.operations import Kind, Operation, Stage, opened, opened_import
from pyodcr.lifecycle.storage import unpack
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

LOCAL_LEFTOVERS = (
    capture.SHM,
    capture.NETWORK,
    stats.DUMP_LOG,
    stats.RESTORE_LOG,
    stats.STATS_DUMP,
    stats.STATS_RESTORE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts lie that a restore is made of; ``fresh``: the root filesystem and volumes are to be filled."""

    directory: Path
    fresh: bool

    @property
    def images(self) -> Path:
        return self.directory / capture.IMAGES

    def part(self, name: str) -> Path | None:
        path = self.directory / name
        return path if path.is_file() else None

    def document(self, name: str) -> Any:
        text = files.read(self.directory / name)
        try:
            return None if text is None else jsonio.loads(f'{{"value": {text}}}', name)["value"]
        except jsonio.JsonInvalid as error:
            raise ArchiveInvalid(f"the checkpoint's {error}") from error


def restore(ctx: Context, ref: str, options: RestoreOptions, progress: Progress = no_progress) -> Outcome:
    """Restore a container of this host: from its own images, else from the archive that holds its only copy."""
    began = time.monotonic()
    with ctx.locked(ref) as container:
        require(Op.RESTORE, container)
        local = Source(ctx.place(container).bundle, fresh=False)
        archive = ""
        if not _has_images(container, local):
            archive = _recorded_archive(container)
        operation = opened(Kind.RESTORE, container.id, cgroup=ctx.cgroup(container), archive=archive)
        ctx.db.put_operation(operation)
    with ExitStack() as close:
        close.callback(_close, ctx, operation)
        source = local
        if archive:
            staging = ctx.paths.staging(operation.id)
            unpack_archive(registry.resolve(archive, ctx.config), staging, progress, expected=container.id)
            source = Source(staging, fresh=False)
        return _Restore(ctx, container, options, source, operation, began).run()


def restore_archive(ctx: Context, options: RestoreOptions, progress: Progress = no_progress) -> Outcome:
    """Make a container from an archive and restore it (``--import``)."""
    began = time.monotonic()
    ctx.refresh_after_reboot()
    recovery.sweep(ctx)
    operation = opened_import()
    ctx.db.put_operation(operation)
    staging = ctx.paths.staging(operation.id)
    with ExitStack() as close:
        close.callback(_close, ctx, operation)
        manifest = unpack_archive(registry.resolve(options.source, ctx.config), staging, progress)
        imported = import_container(ctx, staging, options)
        operation = replace(
            operation,
            container=imported.container.id,
            cgroup=ctx.cgroup(imported.container),
            new_volumes=imported.new_volumes,
        )
        container = ctx.db.add(imported.container, "create", operation)
        for volume in imported.container.config.named_volumes:
            ctx.volumes.create(volume.name, ignore=True, anonymous=volume.anonymous)
        verb = _Restore(ctx, container, options, Source(staging, fresh=True), operation, began)
        outcome = verb.run()
    return replace(
        outcome,
        warnings=imported.warnings,
        content_bytes=sum(entry.size for entry in manifest.entries) if manifest else 0,
    )


def _close(ctx: Context, operation: Operation) -> None:
    files.remove_tree(ctx.paths.staging(operation.id))
    ctx.db.remove_operation(operation)


def _has_images(container: Container, local: Source) -> bool:
    return bool(container.state.checkpoint_path) and (local.images / "inventory.img").exists()


def _recorded_archive(container: Container) -> str:
    archive = container.state.checkpoint_archive
    if not archive:
        raise NotFound(
            f"a complete checkpoint for container {container.name} cannot be found, cannot restore",
            code="no-checkpoint",
            hint="restore --import reads an archive",
        )
    if archive == "-":
        raise NotFound(
            f"the checkpoint of container {container.name} went to standard output",
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
    operation: Operation
    began: float
    runtime_s: float = 0.0

    def run(self) -> Outcome:
        with self.ctx.locked(self.container.id, during=self.operation.id) as self.container:
            try:
                self._restore()
            except BaseException as error:
                self._undo()
                raise self._explained(error) from error
        statistics = stats.read_restore(self.ctx.place(self.container).bundle)
        if not self.options.keep:
            self._consume()
        return Outcome(
            container=self.container,
            duration_us=int((time.monotonic() - self.began) * 1e6),
            runtime_us=int(self.runtime_s * 1e6),
            statistics=statistics,
            archive=self.operation.archive,
        )

    def _record(self, stage: Stage) -> None:
        self.operation = replace(self.operation, stage=stage)
        self.ctx.db.put_operation(self.operation)

    def _restore(self) -> None:
        ctx, place = self.ctx, self.ctx.place(self.container)
        with prepare.reserved_ports(ctx, self.container) as inherited, ExitStack() as undo:
            files.make_directory(place.criu)
            files.write(place.criu / "criu.conf", "".join(f"{line}\n" for line in preflight.criu_options()))
            networks = self._networks()
            prepared = prepare.prepare(
                ctx, self.container, undo, networks=networks, lock_network=self.options.tcp_established
            )
            self._fill(prepared)
            undo.callback(teardown.leave_runtime, ctx, prepared.container)
            self._record(Stage.RESTORING)
            called = time.monotonic()
            flags = [flag for flag, wanted in self._flags() if wanted]
            started = ctx.conmon.restore(
                prepared.container.config,
                ctx.runtime(self.container),
                self.source.images,
                flags,
                inherited=inherited,
            )
            self.runtime_s = time.monotonic() - called
            self.container = ctx.db.record(
                prepared.container,
                "restore",
                status=Status.RUNNING,
                pid=started.pid,
                pid_started=started.pid_started,
                conmon_pid=started.conmon_pid,
                conmon_started=started.conmon_started,
                started_at=prepared.container.state.started_at or jsonio.now(),
                exited=False,
                exit_code=0,
                error="",
                stopped_by_user=False,
                checkpointed=False,
                checkpointed_at=None,
                restored=True,
                restored_at=jsonio.now(),
            )
            self._record(Stage.FINISHING)
            undo.pop_all()

    def _flags(self) -> tuple[tuple[str, bool], ...]:
        return (("--tcp-established", self.options.tcp_established), ("--file-locks", self.options.file_locks))

    def _networks(self) -> Mapping[str, NetworkOptions] | None:
        """How the networks are joined: with the addresses of the dump, unless it is a copy or they are not wanted."""
        try:
            return reuse(
                self.container.config.networks,
                None if self.options.name else self.source.document(capture.NETWORK),
                ignore_static_ip=self.options.ignore_static_ip,
                ignore_static_mac=self.options.ignore_static_mac,
            )
        except jsonio.JsonInvalid as error:
            raise ArchiveInvalid(f"the checkpoint's {capture.NETWORK} makes no sense: {error}") from error

    def _fill(self, prepared: prepare.Prepared) -> None:
        """Put back what memory alone does not hold."""
        place = self.ctx.place(self.container)
        shm = self.source.part(capture.SHM)
        if shm is not None and not self.container.config.no_shm:
            _untar(shm, place.shm)
        if not self.source.fresh:
            return
        if not self.options.ignore_rootfs:
            deleted = self.source.document(capture.DELETED) or []
            changes = self.source.part(capture.ROOTFS)
            kept = unpack.names(changes) if changes is not None else frozenset()
            unpack.remove(prepared.rootfs, deleted, keep=kept)
            if changes is not None:
                _untar(changes, prepared.rootfs)
        if not self.options.ignore_volumes:
            for volume in self.container.config.named_volumes:
                content = self.source.part(f"{capture.VOLUMES}/{volume.name}.tar")
                if content is not None:
                    _untar(content, self.ctx.volumes.find(volume.name).mountpoint)
        log = self.source.part(capture.LOG)
        if log is not None and self.container.config.log_path == str(place.log):
            log.replace(place.log)

    def _undo(self) -> None:
        """The ``with`` blocks took everything down; what is left are the records."""
        if self.operation.imported:
            recovery.discard_import(self.ctx, self.container, self.operation)
        else:
            teardown.teardown(self.ctx, self.container)

    def _explained(self, error: BaseException) -> BaseException:
        """conmon's word for a failed restore is the runtime's; CRIU's log knows why."""
        if not isinstance(error, RuntimeFailed):
            return error
        bundle = self.ctx.place(self.container).bundle
        if not (bundle / stats.RESTORE_LOG).exists():
            return error
        return stats.restore_failed(bundle, self.container.name, error.message)

    def _consume(self) -> None:
        """A checkpoint is used up by its restore: running it twice would let its files and memory disagree."""
        bundle = self.ctx.place(self.container).bundle
        files.remove_tree(bundle / capture.IMAGES)
        for name in LOCAL_LEFTOVERS:
            files.remove(bundle / name)
        self.container = self.ctx.db.record(self.container, checkpoint_path="", checkpoint_archive="")


def _untar(part: Path, target: Path) -> None:
    with part.open("rb") as source:
        unpack.tar(source, target)
