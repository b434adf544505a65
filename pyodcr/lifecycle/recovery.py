"""Carrying out what :func:`pyodcr.lifecycle.operations.plan` found left to undo."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import NotFound, PyodcrError
from pyodcr.lifecycle import refresh, restored, teardown
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.network import packetlock
from pyodcr.lifecycle.operations import ABANDONED_IMPORT, LET_RUN, Kind, Observation, Operation, Stage, Step, plan
from pyodcr.linux import boot, cgroups, files, mounts, pidfd, processes, tcprepair

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

CRIU_SETTLES_S = 15.0
DYING_S = 300.0  # to free a large memory takes a while
DEATH_S = 5.0  # of one that CRIU has just killed: the kernel takes its time to free much memory


def observe(
    ctx: Context, container: Container, operation: Operation, *, patience_s: float = CRIU_SETTLES_S
) -> Observation:
    """What is true of the container now; a CRIU that is giving up, or killing it, gets ``patience_s`` for it.

    CRIU is looked at first: only when it has ended its verdict on the container is carried out.
    """
    same_boot = operation.boot_id == boot.boot_id()
    criu_alive = same_boot and operation.kind is Kind.CHECKPOINT and not _settled(operation, patience_s)
    init_alive = same_boot and not _dead(container, operation, min(patience_s, DEATH_S))
    end = refresh.exit_file(ctx.place(container))
    return Observation(
        init_alive=init_alive,
        criu_alive=criu_alive,
        images_complete=Path(operation.images, "inventory.img").exists() if operation.images else False,
        restored=same_boot and operation.stage is Stage.RESTORING and restored.survivor(ctx, container) is not None,
        ended_by_itself=end is not None and end.code != 128 + signal.SIGKILL,
    )


def _settled(operation: Operation, patience_s: float) -> bool:
    """Wait for a dump to roll back: its hook refuses as soon as the owner is dead, or cannot be reached."""
    end = time.monotonic() + patience_s
    return all(
        pidfd.wait(pid, started, max(0.0, end - time.monotonic()))
        for pid, started in ((pid, boot.start_time(pid)) for pid in _dumping(operation))
        if started
    )


def _dead(container: Container, operation: Operation, patience_s: float) -> bool:
    """Of a container that may go a death that is on its way is waited for: its images are all there is then."""
    may_go = operation.stage is Stage.COMMITTED and not operation.leave_running
    pid, started = container.state.pid, container.state.pid_started
    dead = pidfd.wait(pid, started, patience_s if may_go else 0.0)
    if not dead and may_go and patience_s and processes.is_dying(pid):
        return pidfd.wait(pid, started, DYING_S)
    return dead


def _dumping(operation: Operation) -> tuple[int, ...]:
    """The runtime that dumps, known by its arguments, and CRIU, which outlives it."""
    runtimes = tuple(
        pid
        for pid in (processes.with_argument(operation.images) if operation.images else ())
        if "--image-path" in processes.arguments(pid)
    )
    alive = boot.is_alive(operation.criu_pid, operation.criu_started)
    return (*runtimes, operation.criu_pid) if alive else runtimes


def recover(ctx: Context, container: Container, operation: Operation) -> Container | None:
    """Bring the container of a dead owner's operation to a true state; None when it is gone. The lock is held."""
    current: Container | None = container
    failure: PyodcrError | None = None
    for step in _steps(ctx, container, operation):
        if failure is not None and step is Step.CLOSE:
            raise failure  # the row stays: the next verb tries again
        try:
            current = _carry_out(step, ctx, current, operation)
        except PyodcrError as error:  # a network that cannot be unlocked is no reason to leave the container frozen
            if step is Step.RECORD_CHECKPOINT:
                raise  # what is still in staging is the only copy
            failure = failure or error
    return current


def _steps(ctx: Context, container: Container, operation: Operation) -> tuple[Step, ...]:
    """A CRIU that must be killed is so before the rest is decided: until then it may end the container."""
    steps = plan(operation, observe(ctx, container, operation))
    if Step.KILL_CRIU not in steps:
        return steps
    _act_on(Step.KILL_CRIU, ctx, container, operation)
    return plan(operation, replace(observe(ctx, container, operation, patience_s=DEATH_S), criu_alive=False))


def sweep(ctx: Context, *, imports_only: bool = False) -> tuple[Operation, ...]:
    """Recover every operation whose owner is dead; returns them. Verbs on a container do it for that one alone.

    ``imports_only``: what a killed import has left stands in the way of the next one of the same archive.
    """
    left = [found for found in ctx.db.operations() if not found.owner_lives and (found.imported or not imports_only)]
    return tuple(operation for operation in left if _swept(ctx, operation))


def _swept(ctx: Context, operation: Operation) -> bool:
    if not ctx.db.exists(operation.container):  # an import that had not made its container yet, or one that is gone
        _forget(ctx, operation)
        return True
    try:
        with ctx.locked(operation.container):
            return True
    except NotFound:  # it was an import's, and is undone
        return True
    except PyodcrError as error:
        log.warning("the %s of container %s is not undone: %s", operation.kind, operation.container, error.message)
        return False


def relieve(ctx: Context, operation_id: str) -> None:
    """What the guard of an operation does: wait for its owner's end, then recover what it has left."""
    for operation in ctx.db.operations():
        if operation.id == operation_id:
            pidfd.wait(operation.owner_pid, operation.owner_started)
            _swept(ctx, operation)


def abort_uploads(ctx: Context) -> int:
    """Try once more to abort the uploads that could not be aborted before; how many are aborted now."""
    done = 0
    for number, upload in ctx.db.uploads():
        try:
            ctx.abort_upload(upload)
        except PyodcrError as error:
            log.warning("an unfinished upload remains: %s", error.message)
            continue
        ctx.db.remove_upload(number)
        done += 1
    return done


def _forget(ctx: Context, operation: Operation) -> None:
    for step in ABANDONED_IMPORT:
        _carry_out(step, ctx, None, operation)


def _abort(ctx: Context, operation: Operation) -> None:
    """Abort the upload, or put it down for `system prune`: a server that is away must not block a container."""
    try:
        ctx.abort_upload(operation.upload)
    except PyodcrError as error:
        log.warning("an unfinished upload remains, pyodcr system prune will try again: %s", error.message)
        ctx.db.keep_upload(operation.upload)


def _carry_out(step: Step, ctx: Context, container: Container | None, operation: Operation) -> Container | None:
    if step is Step.ABORT_UPLOAD:
        if operation.upload:
            _abort(ctx, operation)
    elif step is Step.REMOVE_STAGING:
        staging = ctx.paths.staging(operation.id)
        mounts.unmount_below(staging)
        files.remove_tree(staging)
        files.remove_tree(ctx.paths.hook(operation.id))
    elif step is Step.CLOSE:
        ctx.db.remove_operation(operation)
    elif container is not None:
        return _act_on(step, ctx, container, operation)
    return container


def _act_on(step: Step, ctx: Context, container: Container, operation: Operation) -> Container | None:
    if step is Step.KILL_CRIU:
        processes.kill_families(_dumping(operation))
    elif step in LET_RUN:
        _mend(step, ctx, container)
    elif step is Step.ADOPT_RESTORED:
        started = restored.survivor(ctx, container)
        if started is not None:  # else it ended just now, and nobody is left to say how
            return restored.record(ctx, container, replace(operation, stage=Stage.FINISHING), started)
        return teardown.teardown(ctx, container)
    elif step is Step.USE_UP:
        restored.use_up(ctx, container, operation)
    elif step is Step.DISCARD_RESTORE:
        return teardown.teardown(ctx, container)
    elif step is Step.RECORD_CHECKPOINT:
        return record_checkpoint(ctx, container, operation)
    elif step is Step.REMOVE_CONTAINER:
        discard_import(ctx, container, operation)
        return None
    return container


def _mend(step: Step, ctx: Context, container: Container) -> None:
    cgroup = ctx.cgroup(container)
    if step is Step.FREEZE:
        cgroups.freeze(cgroup)
    elif step is Step.UNLOCK_NETWORK:
        unlock_network(container)
    elif step is Step.END_TCP_REPAIR:
        tcprepair.end(cgroups.processes(cgroup))
    elif step is Step.THAW:
        cgroups.thaw(cgroup)


def let_run(ctx: Context, container: Container) -> None:
    """Undo what CRIU may have left on a container that lives; each step is done, the first error told at the end.

    It touches no record, so it may be called from any thread.
    """
    failures = []
    for step in LET_RUN:
        try:
            _mend(step, ctx, container)
        except PyodcrError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def discard_import(ctx: Context, container: Container, operation: Operation) -> None:
    """Remove a container that an import made, and the volumes that came with it."""
    teardown.discard(ctx, container)
    for name in operation.new_volumes:
        if ctx.volumes.exists(name):
            ctx.volumes.remove(name)


def unlock_network(container: Container) -> None:
    """Remove CRIU's packet lock from the container's own network namespace; the host's network never has one."""
    netns = Path(container.state.netns)
    if container.state.netns and netns.exists():
        packetlock.unlock(netns)


def keep_images(ctx: Context, container: Container, images: Path) -> None:
    """Move a complete set of CRIU images to where ``restore`` looks for it; fine when it is there already."""
    target = ctx.place(container).checkpoint
    if images.exists():
        files.remove_tree(target)
        files.move(images, target)


def record_checkpoint(ctx: Context, container: Container, operation: Operation) -> Container:
    """The container went into its checkpoint: keep its images where no archive holds them, clean up, and say so."""
    if not operation.archive:
        keep_images(ctx, container, Path(operation.images))
    if container.config.net_container:  # CRIU's lock outlives a committed dump, and would cut off the other
        unlock_network(container)
    ended = ctx.db.record(container, status=Status.STOPPED, finished_at=jsonio.now(), exited=True, exit_code=0)
    cleaned = teardown.teardown(ctx, ended)
    return ctx.db.record(
        cleaned,
        "checkpoint",
        status=Status.EXITED,
        checkpointed=True,
        checkpointed_at=jsonio.now(),
        restored=False,
        checkpoint_archive=operation.archive,
        checkpoint_path="" if operation.archive else str(ctx.place(container).checkpoint),
    )
