"""checkpoint: freeze a container, get everything durable, and only then let it go.

    preflight ─ operation row ─ staging ─ criu.conf ─> RUNTIME checkpoint ─> pre-dump: handshake
      ─> CRIU writes images ─> post-dump: all stopped; capture, archive, commit ─> 0: killed (or resumed)
                                                                              └─> 1: runs on, as if nothing was

The runtime's exit status is not the outcome, and neither is our own answer to the hook: the commit is recorded
before the answer is given, and afterwards we look whether the container's init is dead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pyodcr import process
from pyodcr.checkpoint import capture, facts, preflight, stats
from pyodcr.checkpoint.destinations import registry
from pyodcr.checkpoint.hook import ANNOTATION, HookServer, Question, clear_configuration, write_configuration
from pyodcr.checkpoint.options import DumpOptions, Outcome, Progress, no_progress
from pyodcr.errors import CriuFailed, PyodcrError, Unsupported, UsageError, WrongState
from pyodcr.lifecycle import recovery, refresh
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.operations import Kind, Operation, Stage, opened
from pyodcr.lifecycle.teardown import discard
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import boot, cgroups, files, pidfd

if TYPE_CHECKING:
    from pyodcr.checkpoint.destinations.base import Destination, Upload
    from pyodcr.lifecycle.context import Context

DEATH_WAIT_S = 30.0
SETTLED_WAIT_S = 3.0  # when our answer may not have arrived


def checkpoint(ctx: Context, ref: str, options: DumpOptions, progress: Progress = no_progress) -> Outcome:
    """Checkpoint one running container. Whatever fails, it goes on running, and nothing is left behind."""
    destination = registry.resolve(options.export, ctx.config) if options.export else None
    if destination is not None:
        destination.check()
    with ctx.locked(ref) as container:
        require(Op.CHECKPOINT, container)
        warnings = _look_before(ctx, container, options)
        operation = opened(
            Kind.CHECKPOINT,
            container.id,
            leave_running=options.leave_running,
            netns=container.state.netns,
            cgroup=ctx.cgroup(container),
        )
        operation = replace(operation, images=str(ctx.paths.staging(operation.id) / capture.IMAGES))
        ctx.db.put_operation(operation)
    return _Dump(
        ctx, container, options, destination, progress, operation, warnings, facts.of_source(ctx, container)
    ).run()


def _look_before(ctx: Context, container: Container, options: DumpOptions) -> tuple[str, ...]:
    """Everything that would fail, before the container is touched; returns warnings."""
    if container.config.auto_remove and not options.export:
        raise UsageError(
            "cannot checkpoint containers that have been started with '--rm' unless '--export' is used",
            hint="the container would be removed together with its checkpoint",
        )
    saved = ctx.runtime(container).saved_annotations(container.id)
    expected = str(ctx.place(container).criu / "criu.conf")
    if saved.get(ANNOTATION) != expected:
        raise Unsupported(
            f"the runtime does not know the checkpoint hook of container {container.name}",
            code="hook-missing",
            hint="without it CRIU would kill the container unasked; restart the container, then checkpoint it",
        )
    return preflight.require(ctx, container, options)


@dataclass(slots=True)
class _Dump:
    """The state of one checkpoint while it runs."""

    ctx: Context
    container: Container
    options: DumpOptions
    destination: Destination | None
    progress: Progress
    operation: Operation
    warnings: tuple[str, ...]
    facts: Mapping[str, object]

    upload: Upload | None = None
    failure: BaseException | None = None
    handshaken: bool = False
    captured: capture.Capture | None = None
    committed: bool = False
    archive_bytes: int = 0
    content_bytes: int = 0
    frozen_from: float = 0.0
    frozen_s: float = 0.0
    log: Path | None = None

    @property
    def staging(self) -> Path:
        return self.ctx.paths.staging(self.operation.id)

    @property
    def images(self) -> Path:
        return self.staging / capture.IMAGES

    @property
    def work(self) -> Path:
        return self.staging / "work"

    def run(self) -> Outcome:
        began = time.monotonic()
        with ExitStack() as close:
            close.callback(self._close)
            if self.destination is not None:
                # before anything is frozen: connecting takes time, a FIFO waits for its reader
                self.upload = close.enter_context(self.destination.put())
                self._record(Stage.PREPARING, upload=dict(self.upload.recovery()))
            runtime_s = self._dump()
            container = self._settle()
            statistics = stats.read_dump(self.work)
            if self.options.keep:
                stats.keep(self.work, self.ctx.place(container).bundle)
        if container.config.auto_remove and not self.options.leave_running:
            with self.ctx.locked(container.id) as container:
                discard(self.ctx, container, volumes=True)
        return Outcome(
            container=container,
            duration_us=int((time.monotonic() - began) * 1e6),
            runtime_us=int(runtime_s * 1e6),
            statistics=statistics,
            archive=self.destination.url if self.destination else "",
            archive_bytes=self.archive_bytes,
            content_bytes=self.content_bytes,
            frozen_us=int(self.frozen_s * 1e6),
            warnings=self.warnings,
        )

    def _close(self) -> None:
        """Nothing of the operation is left but what it was for."""
        clear_configuration(self.ctx.place(self.container).criu)
        files.remove_tree(self.staging)
        self.ctx.db.remove_operation(self.operation)

    def _record(self, stage: Stage, **details: Any) -> None:
        self.operation = replace(self.operation, stage=stage, **details)
        self.ctx.db.put_operation(self.operation)

    # --- the dump ---------------------------------------------------------------------------

    def _dump(self) -> float:
        """Run the runtime's checkpoint to its end, answering CRIU meanwhile; returns seconds."""
        for directory in (self.images, self.work):
            files.make_directory(directory)
        hook = self.ctx.paths.hook(self.operation.id)
        write_configuration(self.ctx.place(self.container).criu, hook, preflight.criu_options())
        runtime = self.ctx.runtime(self.container)
        words: list[str | Path] = [
            runtime.path,
            *runtime.global_args,
            "checkpoint",
            "--image-path",
            self.images,
            "--work-path",
            self.work,
        ]
        for wanted, flag in (
            (self.options.leave_running, "--leave-running"),
            (self.options.tcp_established, "--tcp-established"),
            (self.options.file_locks, "--file-locks"),
        ):
            words += [flag] if wanted else []
        server = HookServer(hook)
        try:
            self._record(Stage.DUMPING)
            began = time.monotonic()
            with (
                (self.work / stats.RUNTIME_LOG).open("wb") as log,
                process.spawn([*words, self.container.id], stdout=log, stderr=log, new_session=True) as child,
            ):
                ended = os.pidfd_open(child.pid)
                try:
                    self._serve(server, ended)
                finally:
                    os.close(ended)
            return time.monotonic() - began
        finally:
            server.close()

    def _serve(self, server: HookServer, ended: int) -> None:
        """Answer until the runtime has ended. A signal becomes a refusal, never an abandoned dump."""
        while True:
            try:
                server.serve(ended, self._answer)
                return
            except BaseException as error:
                self.failure = self.failure or error

    def _answer(self, question: Question) -> bool:
        try:
            if question.stage == "pre-dump":
                self.handshaken = True
                self.frozen_from = time.monotonic()
                self._record(Stage.DUMPING, criu_pid=question.criu, criu_started=boot.start_time(question.criu))
            elif question.stage == "post-dump":
                if not self.committed and self.failure is None:
                    self._hold()
                self.frozen_s = time.monotonic() - self.frozen_from
        except BaseException as error:
            self.failure = self.failure or error
        return self.failure is None or self.committed

    def _hold(self) -> None:
        """All is dumped and everything stands still: now or never."""
        self._record(Stage.HOLDING)
        found = capture.capture(self.ctx, self.container, self.options)
        if self.options.leave_running:
            self.captured = capture.set_aside(found, self.staging / "aside")
        else:
            self._store(found)

    def _store(self, found: capture.Capture) -> None:
        """Make the checkpoint durable where it was asked for, then record the commit."""
        if self.upload is not None:
            self._export(self.upload, found)
        if self.destination is None or self.options.keep:
            capture.keep_beside(found, self.ctx.place(self.container).bundle)
            capture.sync_images(self.images)
        archive = self.destination.url if self.destination is not None and not self.options.keep else ""
        self._record(Stage.COMMITTED, archive=archive, upload={})
        self.committed = True

    def _export(self, upload: Upload, found: capture.Capture) -> None:
        from pyodcr.checkpoint.archive.writer import ArchiveWriter

        total = found.size_bytes + sum(image.stat().st_size for image in self.images.iterdir())
        with ArchiveWriter(cast(BinaryIO, upload), compression=self.options.compression) as archive:
            archive.progress = lambda _: self.progress(archive.bytes_in, total)
            statistics = stats.write_dump(self.work, self.images, self._held_us())
            capture.write(found, self.images, archive, stats=statistics)
            archive.finish(self.facts, {"held_s": self._held_us() / 1e6})
            self.content_bytes = archive.bytes_in
        self.archive_bytes = upload.commit().size_bytes

    def _held_us(self) -> int:
        return int((time.monotonic() - self.frozen_from) * 1e6)

    # --- the outcome ------------------------------------------------------------------------

    def _settle(self) -> Container:
        """Look what became of the container, and make the records say so."""
        with self.ctx.locked(self.container.id, during=self.operation.id) as container:
            expect_dead = self.committed and not self.options.leave_running
            state = container.state
            patience_s = DEATH_WAIT_S if self.failure is None else SETTLED_WAIT_S
            dead = pidfd.wait(state.pid, state.pid_started, patience_s if expect_dead else 0.0)
            if expect_dead and dead:
                return self._gone(container)
            if not dead:
                self._set_free(container)
            if self.captured is not None and not dead and self.failure is None:
                self._store(self.captured)
                return self._kept_running(container)
            raise self._explain(container, dead=dead)

    def _gone(self, container: Container) -> Container:
        done = recovery.record_checkpoint(self.ctx, container, self.operation)
        self._record(Stage.FINISHING)
        if container.config.net_container:  # CRIU's lock outlives a committed dump, and would cut off the other
            recovery.unlock_network(self.container)
        return done

    def _kept_running(self, container: Container) -> Container:
        path = ""
        if not self.operation.archive:
            recovery.keep_images(self.ctx, container, self.images)
            path = str(self.ctx.place(container).checkpoint)
        return self.ctx.db.record(container, "checkpoint", checkpoint_path=path, checkpoint_archive="")

    def _set_free(self, container: Container) -> None:
        """A CRIU that died leaves its container frozen and its network cut; one that rolled back leaves neither."""
        if cgroups.is_frozen(self.ctx.cgroup(container)):
            cgroups.thaw(self.ctx.cgroup(container))
        recovery.unlock_network(container)

    def _explain(self, container: Container, *, dead: bool) -> BaseException:
        if dead:
            return self._died(container)
        if self.committed:
            return WrongState(
                f"the checkpoint of container {container.name} is complete, but the container was not stopped",
                code="still-running",
                hint="it runs on; stop it before restoring from the checkpoint",
            )
        if self.failure is not None:
            return self.failure
        return stats.dump_failed(self.work, self.ctx.place(container).bundle, container.name)

    def _died(self, container: Container) -> PyodcrError:
        if (self.images / "inventory.img").exists():
            recovery.record_checkpoint(self.ctx, container, self.operation)
            return CriuFailed(
                f"CRIU stopped container {container.name} without asking: no archive was made",
                code="hook-skipped",
                hint=f"its memory is safe: pyodcr restore {container.name}",
            )
        refresh.refresh(self.ctx, container)
        return WrongState(f"container {container.name} ended while it was being checkpointed")
