"""stop and kill: ask, wait without the lock, insist."""

from __future__ import annotations

import logging
import os
import signal as signals
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyodcr.errors import Busy, NotFound, PyodcrError, SystemFailed
from pyodcr.lifecycle import teardown
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.ops.cancel import cancel
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import boot, cgroups, pidfd

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

KILL_WAIT_S = 60.0
DEAD = frozenset({Status.CONFIGURED, Status.STOPPED, Status.EXITED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOptions:
    """``timeout_s`` None: the container's own; after it SIGKILL. ``force``: cancel a checkpoint or restore of it."""

    timeout_s: int | None = None
    force: bool = False


def stop(ctx: Context, ref: str, options: StopOptions) -> Container:
    """Stop a container; one that does not run is fine. Others may work on it while we wait for it to die."""
    container = end(ctx, ref, options)
    try:
        with ctx.locked(container.id) as container:
            return teardown.settle(ctx, container)
    except NotFound:  # somebody was faster, and removed it
        return replace(container, state=replace(container.state, status=Status.EXITED))


def end(ctx: Context, ref: str, options: StopOptions) -> Container:
    """Make a container's processes end; the record of that is left to whoever locks it next.

    Until then this process is recorded as the one who stops it: what comes after the end is its business, not that
    of conmon's exit command, which would remove a ``--rm`` container from under `restart`.
    """
    if options.force:
        cancel(ctx, ref)
    with ctx.locked(ref) as container:
        if container.status in DEAD:
            return ctx.db.record(container, stopped_by_user=True)
        require(Op.STOP, container)
        timeout_s = container.config.stop_timeout_s if options.timeout_s is None else options.timeout_s
        if container.status is Status.CREATED:
            return teardown.teardown(ctx, container)
        container = ctx.db.record(
            container,
            "stop",
            status=Status.STOPPING,
            stopped_by_user=True,
            stopper_pid=os.getpid(),
            stopper_started=boot.own_start_time(),
        )
        asked = timeout_s != 0 and _ask(ctx, container)
    if not asked or not _wait_dead(container, timeout_s):
        _insist(ctx, container)
    return container


def _ask(ctx: Context, container: Container) -> bool:
    """Send the container's stop signal; False if that cannot be done, which is no reason to let it live."""
    try:
        _signal(ctx, container, container.config.stop_signal)
    except PyodcrError as error:
        log.warning("container %s is killed, for its stop signal cannot be sent: %s", container.name, error.message)
        return False
    return True


def _insist(ctx: Context, container: Container) -> None:
    with suppress(NotFound), ctx.locked(container.id) as now:
        if now.status not in DEAD and now.state.pid == container.state.pid:  # not another life of it
            _signal(ctx, now, signals.SIGKILL)
    if not _wait_dead(container, KILL_WAIT_S):
        raise SystemFailed(
            f"container {container.name} did not die of SIGKILL within {KILL_WAIT_S:.0f} s",
            hint="a process in uninterruptible sleep (state D) waits for a device or a network filesystem",
        )


def kill(ctx: Context, ref: str, signal: int, *, force: bool = False) -> Container:
    """Send a signal to a container's init; after SIGKILL its death is waited for.

    ``force`` cancels a checkpoint or restore of it first.
    """
    if force:
        cancel(ctx, ref)
    with ctx.locked(ref) as container:
        require(Op.KILL, container)
        container = ctx.db.record(container, "kill", stopped_by_user=True)
        _signal(ctx, container, signal)
    if signal == signals.SIGKILL and _wait_dead(container, KILL_WAIT_S):
        with suppress(NotFound, Busy), ctx.locked(container.id) as container:
            pass  # the lock's refresh records the death; conmon's exit command cleans up
    return container


def _signal(ctx: Context, container: Container, signal: int) -> None:
    try:
        ctx.runtime(container).kill(container.id, signal)
    except Exception:
        # it died between our look and the signal: what we wanted anyway
        if boot.is_alive(container.state.pid, container.state.pid_started):
            raise
    if signal == signals.SIGKILL:
        cgroups.thaw(ctx.cgroup(container))  # a frozen process dies only when it is thawed (v1)


def _wait_dead(container: Container, timeout_s: float) -> bool:
    return pidfd.wait(container.state.pid, container.state.pid_started, timeout_s)


def wait(ctx: Context, ref: str, *, interval_s: float = 0.25) -> int:
    """Wait until a container is dead; its exit code, also when it was removed meanwhile."""
    container = ctx.find(ref)
    try:
        while container.status not in (Status.STOPPED, Status.EXITED):
            container = _next_look(ctx, container, interval_s)
    except NotFound:
        return ctx.db.exit_code(container.id) or 0
    return container.state.exit_code


def _next_look(ctx: Context, container: Container, interval_s: float) -> Container:
    state = container.state
    if state.pid == 0:
        time.sleep(interval_s)
    elif pidfd.wait(state.pid, state.pid_started, interval_s):
        try:
            with ctx.locked(container.id) as container:
                return container
        except Busy:  # it went into a checkpoint, whose owner says what became of it
            time.sleep(interval_s)
    return ctx.db.get(container.id)
