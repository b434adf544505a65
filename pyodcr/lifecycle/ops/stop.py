"""stop and kill: ask, wait without the lock, insist."""

from __future__ import annotations

import signal as signals
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle import refresh, teardown
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import boot, cgroups, pidfd

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

KILL_WAIT_S = 60.0
DEAD = frozenset({Status.CONFIGURED, Status.STOPPED, Status.EXITED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOptions:
    """``timeout_s`` None: the container's own; after it SIGKILL."""

    timeout_s: int | None = None


def stop(ctx: Context, ref: str, options: StopOptions) -> Container:
    """Stop a container; one that does not run is fine. Others may work on it while we wait for it to die."""
    with ctx.locked(ref) as container:
        if container.status in DEAD:
            container = ctx.db.record(container, stopped_by_user=True)
            return _clean(ctx, container)
        require(Op.STOP, container)
        never_started = container.status is Status.CREATED
        if never_started:
            return teardown.teardown(ctx, container)
        container = ctx.db.record(container, "stop", status=Status.STOPPING, stopped_by_user=True)
        timeout_s = container.config.stop_timeout_s if options.timeout_s is None else options.timeout_s
        if timeout_s != 0:
            _signal(ctx, container, container.config.stop_signal)
    if timeout_s == 0 or not _wait_dead(container, timeout_s):
        with ctx.locked(container.id) as container:
            if container.status not in DEAD:
                _signal(ctx, container, signals.SIGKILL)
        if not _wait_dead(container, KILL_WAIT_S):
            raise SystemFailed(
                f"container {container.name} did not die of SIGKILL within {KILL_WAIT_S:.0f} s",
                hint="a process in uninterruptible sleep (state D) waits for a device or a network filesystem",
            )
    with ctx.locked(container.id) as container:
        return _clean(ctx, container)


def kill(ctx: Context, ref: str, signal: int) -> Container:
    """Send a signal to a container's init; after SIGKILL its death is waited for."""
    with ctx.locked(ref) as container:
        require(Op.KILL, container)
        container = ctx.db.record(container, "kill", stopped_by_user=True)
        _signal(ctx, container, signal)
    if signal == signals.SIGKILL and _wait_dead(container, KILL_WAIT_S):
        with ctx.locked(container.id) as container:
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


def _clean(ctx: Context, container: Container) -> Container:
    """Clean up after a dead container ourselves: conmon's exit command may come later and finds it done."""
    if container.status is Status.STOPPED:
        container = teardown.teardown(ctx, container)
    return container


def wait(ctx: Context, ref: str, *, interval_s: float = 0.25) -> int:
    """Wait until a container is dead; its exit code, also when it was removed meanwhile."""
    container = ctx.find(ref)
    while container.status not in (Status.STOPPED, Status.EXITED):
        pidfd.wait(container.state.pid, container.state.pid_started, interval_s)
        seen = refresh.shown(container, ctx.place(container))
        if seen.status is Status.EXITED and seen.state.exit_code != -1:
            return seen.state.exit_code
        if container.state.pid == 0:
            time.sleep(interval_s)
        found = [other for other in ctx.containers() if other.id == container.id]
        if not found:
            return ctx.db.exit_code(container.id) or 0
        container = found[0]
    return container.state.exit_code
