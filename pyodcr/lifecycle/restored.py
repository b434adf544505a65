"""A restore that has succeeded: found, recorded, and its checkpoint used up.

From the moment conmon has answered, the container's files move on and its checkpoint is the past. So what says that it
runs also says that the checkpoint is used up, in one transaction; and whoever comes upon a restore that was not
recorded looks first whether the container lives (:func:`survivor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.lifecycle import conmon
from pyodcr.lifecycle.conmon import Started
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.operations import Operation
from pyodcr.linux import boot, files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def survivor(ctx: Context, container: Container) -> Started | None:
    """The init and the monitor of a container that came back, though nobody recorded it.

    runc and crun write the pid file when CRIU has finished, not before.
    """
    pid = conmon.read_pid(ctx.place(container).pid_file)
    monitor = conmon.monitor(container.config, ctx.place(container))
    found = Started(pid, boot.start_time(pid), monitor, boot.start_time(monitor))
    if not (found.pid_started and found.conmon_started):
        return None
    known = ctx.runtime(container).state(container.id)
    return found if known is not None and (known.status, known.pid) == ("running", pid) else None


def record(ctx: Context, container: Container, operation: Operation, started: Started) -> Container:
    """The commit point. ``operation`` is the restore at its last stage; with its ``keep`` the checkpoint stays."""
    state = container.state
    return ctx.db.record(
        container,
        "restore",
        operation=operation,
        status=Status.RUNNING,
        pid=started.pid,
        pid_started=started.pid_started,
        conmon_pid=started.conmon_pid,
        conmon_started=started.conmon_started,
        started_at=state.started_at or jsonio.now(),
        exited=False,
        exit_code=0,
        error="",
        stopped_by_user=False,
        checkpointed=False,
        checkpointed_at=None,
        restored=True,
        restored_at=jsonio.now(),
        checkpoint_path=state.checkpoint_path if operation.keep else "",
        checkpoint_archive=operation.archive if operation.keep else "",
    )


def use_up(ctx: Context, container: Container, operation: Operation) -> None:
    """Running a checkpoint twice would let its files and memory disagree, so its images go, unless they are kept."""
    if not operation.keep:
        files.remove_tree(ctx.place(container).checkpoint)
