"""Observed beats recorded: what the kernel, conmon's exit file and the boot id say of a container.

:func:`observe` reads, :func:`refresh` records what it saw (the caller holds the lock),
:func:`shown` only displays it (``ps`` takes no locks), and :func:`after_reboot` voids what
belonged to a boot that is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.paths import ContainerPaths
from pyodcr.linux import boot, files, flock

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

IN_RUNTIME = frozenset({Status.CREATED, Status.RUNNING, Status.STOPPING, Status.PAUSED})
# the event of a change that nobody lived to tell
UNTOLD = {
    (Status.CREATED, Status.RUNNING): "start",
    (Status.RUNNING, Status.PAUSED): "pause",
    (Status.PAUSED, Status.RUNNING): "unpause",
}
ENDED_BY_REBOOT = frozenset({Status.RUNNING, Status.STOPPING, Status.PAUSED})
EXIT_FILE_WAIT_S = 5.0
EXIT_FILE_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended; ``error`` says why there is no better answer than -1."""

    code: int
    finished_at: datetime
    oom_killed: bool = False
    error: str = ""


def exit_file(place: ContainerPaths) -> Exit | None:
    """What conmon wrote, once it has written it."""
    path = place.persist / "exit"
    text = files.read(path)
    if text is None or not text.strip().lstrip("-").isdigit():
        return None
    finished = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    return Exit(int(text), finished, (place.persist / "oom").exists())


def observe(container: Container, place: ContainerPaths) -> Exit | None:
    """Whether a container recorded as alive has ended, and how. May wait a moment for conmon to write it down."""
    state = container.state
    found = exit_file(place)
    if found is not None or boot.is_alive(state.pid, state.pid_started):
        return found
    end = time.monotonic() + EXIT_FILE_WAIT_S
    while boot.is_alive(state.conmon_pid, state.conmon_started) and time.monotonic() < end:
        found = exit_file(place)
        if found is not None:
            return found
        time.sleep(EXIT_FILE_POLL_S)
    found = exit_file(place)  # conmon may have written it as its last act
    return found or Exit(-1, jsonio.now(), error="conmon died without writing an exit file: the exit code is lost")


def exit_changes(end: Exit) -> dict[str, Any]:
    """The fields of the state that an exit changes."""
    return {
        "pid": 0,
        "pid_started": 0,
        "conmon_pid": 0,
        "conmon_started": 0,
        "exited": True,
        "exit_code": end.code,
        "finished_at": end.finished_at,
        "oom_killed": end.oom_killed,
        "error": end.error,
    }


def started_changes() -> dict[str, Any]:
    """The fields of the state that a start changes. Its files move on, so the images of a checkpoint fit no more."""
    return {
        "status": Status.RUNNING,
        "started_at": jsonio.now(),
        "stopped_by_user": False,
        "checkpointed": False,
        "checkpointed_at": None,
        "checkpoint_path": "",
        "checkpoint_archive": "",
        "restored": False,
        "restored_at": None,
    }


def refresh(ctx: Context, container: Container) -> Container:
    """The container as it really is, recorded. The caller holds its lock."""
    if container.status not in IN_RUNTIME:
        return container
    end = observe(container, ctx.place(container))
    if end is not None:
        return ctx.db.record(container, "died", status=Status.STOPPED, **exit_changes(end))
    status = living_status(ctx, container)
    if status is container.status:
        return container
    changes: dict[str, Any] = {"status": status, "stopper_pid": 0, "stopper_started": 0}
    if container.status is Status.CREATED:
        changes |= started_changes()
    return ctx.db.record(container, UNTOLD.get((container.status, status), ""), **changes)


def living_status(ctx: Context, container: Container) -> Status:
    """What a container whose init lives is: a verb that was killed may have acted and not recorded it."""
    status = container.status
    if status is Status.STOPPING:
        return status if _stopper_lives(container) else Status.RUNNING
    if status is Status.CREATED:
        known = ctx.runtime(container).state(container.id)
        return Status.RUNNING if known is not None and known.status == "running" else status
    from pyodcr.linux import cgroups  # `ps` gets here never, and it loads ctypes

    return Status.PAUSED if cgroups.is_frozen(ctx.cgroup(container)) else Status.RUNNING


def _stopper_lives(container: Container) -> bool:
    return boot.is_alive(container.state.stopper_pid, container.state.stopper_started)


def shown(container: Container, place: ContainerPaths) -> Container:
    """The container as it is now, for display: nothing is waited for, nothing recorded."""
    state = container.state
    if container.status not in IN_RUNTIME:
        return container
    if boot.is_alive(state.pid, state.pid_started):
        if container.status is Status.STOPPING and not _stopper_lives(container):
            return replace(container, state=replace(state, status=Status.RUNNING))
        return container
    end = exit_file(place) or Exit(-1, jsonio.now())
    return replace(container, state=replace(state, status=Status.EXITED, **exit_changes(end)))


def after_reboot(ctx: Context) -> None:
    """When the states were recorded under another boot id: nothing runs, nothing is mounted, no namespace is left."""
    if ctx.db.meta("boot") == boot.boot_id():
        return
    with flock.exclusive(ctx.paths.locks / "reboot"):
        if ctx.db.meta("boot") == boot.boot_id():
            return
        for directory in (ctx.paths.netavark, ctx.paths.runroot / "netns"):  # where the run root is no tmpfs
            files.remove_tree(directory)
        for container in ctx.db.containers():
            _void(ctx, container)
        ctx.db.put_meta("boot", boot.boot_id())


def _void(ctx: Context, container: Container) -> None:
    """Record what a reboot made of a container, and remove it where its end would have."""
    was = container.status
    changes: dict[str, Any] = {}
    if was in ENDED_BY_REBOOT:
        changes = exit_changes(Exit(-1, jsonio.now(), error="the host was restarted while it ran")) | {
            "finished_at": None
        }
    status = Status.CONFIGURED if was in (Status.CONFIGURED, Status.CREATED) else Status.EXITED
    container = ctx.db.record(
        container,
        status=was if was is Status.REMOVING else status,
        mountpoint="",
        mount_count=0,
        netns="",
        network_status=None,
        restart_count=0,
        stopper_pid=0,
        stopper_started=0,
        **({"pid": 0, "pid_started": 0, "conmon_pid": 0, "conmon_started": 0} | changes),
    )
    for session in ctx.db.exec_sessions(container.id):
        ctx.db.remove_exec_session(session.id)
    if ctx.db.operation(container.id) is None:  # else its recovery decides
        from pyodcr.lifecycle import teardown

        teardown.settle(ctx, container)
