"""cleanup: what conmon's exit command does when a container, or a command in it, has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr.errors import Busy, NotFound
from pyodcr.lifecycle import teardown
from pyodcr.linux import boot, pidfd

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

LOOK_S = 0.5


def cleanup(ctx: Context, container_id: str) -> None:
    """Release what a dead container held; remove it if it was made with ``--rm``.

    Not while an operation whose owner lives is open on it: the 137 of a committed checkpoint, or the
    death of a restore that was refused, is that owner's business, and it holds what we would wait for.
    Nor while somebody stops it, who does the same, or starts it again.
    """
    try:
        _let_stopper_finish(ctx, container_id)
        with ctx.locked(container_id) as container:
            teardown.settle(ctx, container)
    except (Busy, NotFound):
        return


def _let_stopper_finish(ctx: Context, container_id: str) -> None:
    state = ctx.db.get(container_id).state
    while boot.is_alive(state.stopper_pid, state.stopper_started):
        pidfd.wait(state.stopper_pid, state.stopper_started, LOOK_S)
        state = ctx.db.get(container_id).state
