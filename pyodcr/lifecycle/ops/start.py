"""start: from a record to a running process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyodcr.lifecycle import prepare, teardown
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.refresh import started_changes
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def initialise(ctx: Context, container: Container) -> Container:
    """Make the container in its runtime, its init waiting to be started. The lock is held."""
    container = teardown.teardown(ctx, container)  # also of what a killed start has left, which holds its ports
    with prepare.reserved_ports(ctx, container) as inherited, ExitStack() as undo:
        undo.callback(teardown.teardown, ctx, container)
        files.make_directory(ctx.place(container).criu)
        files.write(ctx.place(container).criu / "criu.conf", "")  # named by the annotation, filled by each operation
        container = prepare.prepare(ctx, container, undo)
        undo.callback(teardown.leave_runtime, ctx, container)
        started = ctx.conmon.create(container.config, ctx.runtime(container), inherited=inherited)
        container = ctx.db.record(
            container,
            "init",
            status=Status.CREATED,
            pid=started.pid,
            pid_started=started.pid_started,
            conmon_pid=started.conmon_pid,
            conmon_started=started.conmon_started,
            exited=False,
            exit_code=0,
            error="",
            oom_killed=False,
        )
        undo.pop_all()
    return container


def start(ctx: Context, ref: str, *, before: Callable[[Container], None] = lambda _: None) -> Container:
    """Start a container; one that runs already is left alone.

    ``before`` is called when the container exists and its init waits: to attach without losing a byte.
    """
    with ctx.locked(ref) as container:
        if container.status is Status.RUNNING:
            return container
        require(Op.START, container)
        if container.status is not Status.CREATED:
            container = initialise(ctx, container)
        try:
            before(container)
            ctx.runtime(container).start(container.id)
        except BaseException:
            teardown.teardown(ctx, container)
            raise
        container = ctx.db.record(container, "start", **started_changes())
        files.remove_tree(ctx.place(container).checkpoint)  # no record names it any more
        return container
