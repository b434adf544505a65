"""checkpoint: freeze a container, get everything durable, and only then let it go.

    preflight ─ operation row ─ staging ─ criu.conf ─> RUNTIME checkpoint ─> pre-dump: handshake
      ─> CRIU writes images, the follower archives them ─> post-dump: all stopped
      ─> capture, the rest of the archive, commit ─> 0: killed (or resumed)
                                                └─> 1: runs on, as if nothing was

The runtime's exit status is not the outcome, and neither is our own answer to the hook: the commit is recorded
before the answer is given, and afterwards we look whether the container's init is dead.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import process
from pyodcr.checkpoint import capture, facts, observe, preflight, staging, stats
from pyodcr.checkpoint.destinations import gaps, registry
from pyodcr.checkpoint.hook import HookServer, Question, write_configuration, write_hook
from pyodcr.checkpoint.options import DumpOptions, Outcome, Progress, no_progress
from pyodcr.checkpoint.staging import Choice, Medium
from pyodcr.checkpoint.undertaking import Undertaking
from pyodcr.errors import CriuFailed, PyodcrError, Unsupported, UsageError, WrongState
from pyodcr.lifecycle import recovery
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.operations import Kind, Stage, opened
from pyodcr.lifecycle.spec import annotation
from pyodcr.lifecycle.teardown import discard
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import alarm, boot, cgroups, files, oom, pidfd

if TYPE_CHECKING:
    from pyodcr.checkpoint.archive.streams import SinkWithGaps
    from pyodcr.checkpoint.archive.writer import ArchiveWriter
    from pyodcr.checkpoint.destinations.base import Destination, Upload
    from pyodcr.checkpoint.follow import Follower
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

CONFIGURATION = "criu.conf"
DEATH_WAIT_S = 300.0  # CRIU has killed it: to free a large memory takes a while
SETTLED_WAIT_S = 3.0  # where the runtime says that it did not work


def checkpoint(ctx: Context, ref: str, options: DumpOptions, progress: Progress = no_progress) -> Outcome:
    """Checkpoint one running container. Whatever fails, it goes on running, and nothing is left behind."""
    began = time.monotonic()
    destination = registry.resolve(options.export, ctx.config) if options.export else None
    with ctx.locked(ref) as container:
        require(Op.CHECKPOINT, container)
        choice, warnings = _look_before(ctx, container, options)
        source = facts.of_source(ctx, container)
        operation = opened(
            Kind.CHECKPOINT,
            container.id,
            leave_running=options.leave_running,
        )
        images = staging.images_directory(ctx.paths.staging(operation.id), choice)
        operation = replace(operation, images=str(images))
        ctx.db.put_operation(operation)
    with Undertaking(ctx, operation) as own:
        log.debug("the images of container %s go to %s: %s", container.name, choice.medium, choice.why)
        sources = capture.locate(ctx, container, options)
        dump = _Dump(ctx, container, options, destination, progress, own, source, choice, sources)
        container = dump.run()
    if container.config.auto_remove and not options.leave_running:
        with ctx.locked(container.id) as container:
            if container.state.checkpointed:  # nobody has restored it meanwhile
                discard(ctx, container, volumes=True)
    return Outcome(
        container=container,
        duration_us=int((time.monotonic() - began) * 1e6),
        runtime_us=int(dump.runtime_s * 1e6),
        statistics=dump.statistics,
        archive=destination.url if destination else "",
        archive_bytes=dump.archive_bytes,
        content_bytes=dump.content_bytes,
        frozen_us=int(dump.held_s * 1e6),
        staging=choice.medium,
        warnings=warnings,
    )


def _look_before(ctx: Context, container: Container, options: DumpOptions) -> tuple[Choice, tuple[str, ...]]:
    """Everything that would fail, before the container is touched; where the images go, and warnings."""
    if container.config.auto_remove and not options.export:
        raise UsageError(
            "cannot checkpoint containers that have been started with '--rm' unless '--export' is used",
            hint="the container would be removed together with its checkpoint",
        )
    if options.export and container.config.dependencies:
        raise Unsupported(
            "cannot export checkpoints of containers with dependencies",
            code="has-dependencies",
            hint="leave --export out: a checkpoint on this host can be restored beside what it depends on",
        )
    saved = ctx.runtime(container).saved_annotations(container.id).get(annotation.CRIU_CONFIG, "")
    if os.path.realpath(saved) != os.path.realpath(ctx.place(container).criu / CONFIGURATION):
        raise Unsupported(
            f"the runtime does not know the checkpoint hook of container {container.name}",
            code="hook-missing",
            hint="without it CRIU would kill the container unasked; restart the container, then checkpoint it",
        )
    choice, warnings = preflight.require(ctx, container, options)
    if options.leave_running and not options.export:
        warnings = (*warnings, "the container runs on, and its files move on from these images: --export keeps both")
    return choice, warnings


@dataclass(frozen=True, slots=True)
class _Writing:
    """An archive on its way."""

    upload: Upload
    sink: SinkWithGaps
    archive: ArchiveWriter
    follower: Follower


@dataclass(slots=True)
class _Dump:
    """The state of one checkpoint while it runs."""

    ctx: Context
    container: Container
    options: DumpOptions
    destination: Destination | None
    progress: Progress
    own: Undertaking
    facts: Mapping[str, object]
    choice: Choice
    sources: capture.Sources

    writing: _Writing | None = None  # the archive, where one is made
    failure: BaseException | None = None
    question: Question | None = None  # the hook that waits at post-dump, as long as it does
    asked: bool = False  # CRIU did not let go without asking
    captured: capture.Capture | None = None  # put aside, to be stored while the container runs on
    committed: bool = False

    archive_bytes: int = 0
    content_bytes: int = 0
    expected_bytes: int = 0
    done_bytes: int = 0
    held_from: float = 0.0
    held_s: float = 0.0
    runtime_s: float = 0.0
    statistics: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> Path:
        return staging.images_directory(self.own.staging, self.choice)

    @property
    def work(self) -> Path:
        return self.own.staging / "work"

    def run(self) -> Container:
        staging.prepare(self.own.staging, self.choice)
        with ExitStack() as close:
            if self.destination is not None:
                # before anything is frozen: connecting takes time, a FIFO waits for its reader
                upload = close.enter_context(self.destination.put())
                self.own.record(Stage.PREPARING, upload=dict(upload.recovery()))
                self.writing = self._open_archive(upload, close)
            status = self._dump()
            container = self._settle(status)
            if self.captured is not None:
                container = self._store_aside(self.captured)
        self.statistics = stats.read_dump(self.work)
        if self.options.keep:
            stats.keep(self.work, self.ctx.place(container).bundle)
        return container

    # --- the dump ---------------------------------------------------------------------------

    def _dump(self) -> int:
        """Run the runtime's checkpoint to its end, answering CRIU meanwhile; the runtime's exit status."""
        files.make_directory(self.work)
        sockets, place = self.ctx.paths.hook(self.own.operation.id), self.ctx.place(self.container)
        cgroup = self.ctx.cgroup(self.container)
        hook = write_hook(place.criu, sockets, cgroups.freezer(cgroup))
        runtime = self.ctx.runtime(self.container).name
        isolated = observe.is_isolated(self.container.state.pid, cgroups.processes(cgroup))
        write_configuration(place.criu, runtime, (*preflight.criu_options(isolated=isolated), hook))
        server = HookServer(sockets, max_frozen_s=self.options.frozen_limit_s)
        try:
            self.own.record(Stage.DUMPING)
            self.own.settled = False  # from now on CRIU decides what becomes of the container
            self.held_from = began = time.monotonic()
            with (
                oom.spared(),
                stats.runtime_log(self.work) as said,
                process.spawn(self._command(), stdout=said, stderr=said, new_session=True) as child,
            ):
                self._serve(server, child.pid)
            self.runtime_s = time.monotonic() - began
            return child.returncode
        finally:
            server.close()

    def _command(self) -> list[str | Path]:
        runtime, options = self.ctx.runtime(self.container), self.options
        wanted = {
            "--leave-running": options.leave_running,
            "--tcp-established": options.tcp_established,
            "--file-locks": options.file_locks,
        }
        flags = [flag for flag, is_wanted in wanted.items() if is_wanted]
        # where runc has a log to write its errors to, it says them in plain words on its standard error
        words: list[str | Path] = [runtime.path, *runtime.global_args, "--log=/dev/null", "checkpoint"]
        words += ["--image-path", self.images, "--work-path", self.work]
        return [*words, *flags, self.container.id]

    def _serve(self, server: HookServer, runtime: int) -> None:
        """Answer until runtime and CRIU have ended. A signal becomes a refusal, never an abandoned dump."""
        while True:
            try:
                with alarm.calling(self._require_hold) as call:
                    return server.serve(runtime, self._answer, partial(self._lost, call))
            except BaseException as error:
                self.failure = self.failure or error
                server.refuse()

    def _lost(self, call: Callable[[], None], question: Question) -> None:
        """On a thread of its own, since who is to hear of it may be stuck in writing to a place that hangs."""
        if not question.criu_lives:
            self._let_run()
        call()

    def _answer(self, question: Question) -> bool:
        try:
            if self.failure is None and question.stage == "pre-dump":
                self.held_from = time.monotonic()
                self.own.record(Stage.DUMPING, criu_pid=question.criu, criu_started=boot.start_time(question.criu))
                if self.writing is not None and not self.options.leave_running:
                    self.writing.follower.start()
            elif self.failure is None and question.stage == "post-dump" and not self.asked:
                self.asked = True
                self._hold(question)
        except BaseException as error:
            self.failure = self.failure or error
        return self.failure is None or self.committed

    def _hold(self, question: Question) -> None:
        """All is dumped and everything stands still: now or never."""
        if question.criu != self.own.operation.criu_pid:
            raise CriuFailed(f"criu has dumped container {self.container.name} without a handshake")
        self.question = question
        self._require_hold()  # it may be late already
        self.own.record(Stage.HOLDING)
        if self.writing is not None:
            self.writing.follower.complete()
        try:
            found = capture.capture(self.sources)
            if self.options.leave_running:
                captured = capture.set_aside(found, self.own.staging / "aside")
                self._require_hold()
                self.captured = captured
            else:
                self._store(found)
        finally:
            self.question = None
            self.held_s = time.monotonic() - self.held_from

    def _require_hold(self) -> None:
        """While CRIU holds the container, what is read of it is of one instant; without CRIU it runs."""
        if self.question is not None and self.question.late:
            raise CriuFailed(
                f"container {self.container.name} would have been frozen for longer than "
                f"{self.options.frozen_limit_s:g} s",
                code="frozen-too-long",
                hint="it runs on; raise --max-frozen, or write to a faster place",
            )
        if self.question is not None and not self.question.stands():
            if self.question.criu_lives:
                raise CriuFailed(
                    f"criu's hook gave up while it held container {self.container.name}",
                    code="hook-gave-up",
                    hint="it runs on; this process was stopped for ten seconds or more, or somebody killed the hook",
                )
            raise CriuFailed(
                f"criu died while it held container {self.container.name}",
                code="criu-died",
                hint="the container runs on; look for the reason in the kernel's log, then try again",
            )

    def _store(self, found: capture.Capture) -> None:
        """Make the checkpoint durable where it was asked for, then record the commit."""
        if self.writing is not None:
            self._write_archive(self.writing, found)
        if self.destination is None or self.options.keep:
            capture.keep_beside(self.container, found, self.images)
        self._require_hold()
        if self.writing is not None:
            self.archive_bytes = self.writing.upload.commit().size_bytes
        archive = self.destination.url if self.destination is not None and not self.options.keep else ""
        self.own.record(Stage.COMMITTED, archive=archive, upload={})
        self.committed = True

    # --- the archive ------------------------------------------------------------------------

    def _open_archive(self, upload: Upload, close: ExitStack) -> _Writing:
        from pyodcr.checkpoint.archive.writer import ArchiveWriter
        from pyodcr.checkpoint.follow import Follower

        sink = gaps.patient(upload, self.images.parent)
        close.callback(gaps.drop, sink)
        archive = ArchiveWriter(sink, compression=self.options.compression, progress=self._advance)
        close.enter_context(archive)
        follower = Follower(self.images, archive, give_back=not self.options.keep)
        close.enter_context(follower)
        capture.begin(self.ctx, self.container, archive)
        return _Writing(upload, sink, archive, follower)

    def _write_archive(self, writing: _Writing, found: capture.Capture) -> None:
        """All that is not in it yet."""
        self.expected_bytes = found.size_bytes + sum(image.stat().st_size for image in self.images.iterdir())
        followed = writing.follower.finish()
        gaps.release(writing.sink)
        held_s = time.monotonic() - self.held_from if self.captured is None else self.held_s
        statistics = stats.so_far(self.images, int(held_s * 1e6))
        capture.write(found, self.images, writing.archive, followed=followed, stats=statistics)
        writing.archive.finish(self.facts, {"held_s": held_s})
        self.content_bytes = writing.archive.bytes_in
        self.progress(self.done_bytes, self.done_bytes)  # what was expected was a little less

    def _advance(self, count: int) -> None:
        self.done_bytes += count
        self._require_hold()
        self.progress(self.done_bytes, self.expected_bytes)

    # --- the outcome ------------------------------------------------------------------------

    def _settle(self, status: int) -> Container:
        """Look what became of the container, and make the records say so. Raises what went wrong, if it did."""
        state = self.container.state
        patience_s = DEATH_WAIT_S if status == 0 else SETTLED_WAIT_S
        dead = pidfd.wait(state.pid, state.pid_started, patience_s if self.committed else 0.0)
        gone = dead and self.committed
        # a CRIU that shook hands asks before it kills: then the container ended by itself, and its images may be holes
        skipped = dead and not self.own.operation.criu_pid and (self.images / "inventory.img").exists()
        with self.ctx.locked(self.container.id, during=self.own.operation.id) as container:
            if gone:
                container = self._gone(container)
            elif skipped:
                capture.keep_beside(container, capture.capture(self.sources), self.images)
                recovery.record_checkpoint(self.ctx, container, self.own.operation)
            elif not dead and status != 0:
                self._let_run()
            self.own.settled = True
        if gone or (self.captured is not None and self.failure is None):
            return container
        raise self._explain(dead=dead, skipped=skipped)

    def _gone(self, container: Container) -> Container:
        done = recovery.record_checkpoint(self.ctx, container, self.own.operation)
        self.own.record(Stage.FINISHING)
        return done

    def _store_aside(self, captured: capture.Capture) -> Container:
        """Store what was put aside; the container runs meanwhile, and nobody waits for its lock."""
        self._store(captured)
        path = "" if self.own.operation.archive else str(self.ctx.place(self.container).checkpoint)
        with self.ctx.locked(self.container.id, during=self.own.operation.id) as container:
            if path:
                recovery.keep_images(self.ctx, container, self.images)
            return self.ctx.db.record(container, "checkpoint", checkpoint_path=path, checkpoint_archive="")

    def _let_run(self) -> None:
        """A CRIU that died leaves its container frozen and its network cut; one that rolled back leaves neither."""
        try:
            recovery.let_run(self.ctx, self.container)
        except PyodcrError as error:
            log.warning("container %s may be cut off: %s", self.container.name, error.message)

    def _explain(self, *, dead: bool, skipped: bool) -> BaseException:
        name = self.container.name
        if self.committed and self.destination is None:
            return WrongState(
                f"container {name} was not stopped, so it has no checkpoint",
                code="still-running",
                hint="it runs on; look for the reason in the kernel's log, then try again",
            )
        if self.committed:
            return WrongState(
                f"the checkpoint of container {name} is complete, but the container was not stopped",
                code="still-running",
                hint="it runs on; stop it before restoring from the checkpoint",
            )
        if skipped:
            return CriuFailed(
                f"criu stopped container {name} without asking: no archive was made",
                code="hook-skipped",
                hint=f"its memory is safe: pyodcr restore {name}",
            )
        if self.failure is not None:
            return self.failure
        if dead:
            return WrongState(f"container {name} ended while it was being checkpointed")
        error = stats.dump_failed(self.work, self.ctx.place(self.container).bundle, name)
        if error.code == "criu-no-space" and self.choice.medium is Medium.MEMORY:
            error.hint = 'it grew while it was looked at; try again, or set staging = "disk"'
        return error
