"""cleanup: what conmon's exit command does when a container, or a command in it, has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr.errors import Busy, NotFound
from pyodcr.lifecycle import teardown
from pyodcr.lifecycle.models import Status
from pyodcr.lifecycle.ops.remove import discard

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def cleanup(ctx: Context, container_id: str) -> None:
    """Release what a dead container held; remove it if it was made with ``--rm``.

    Not while an operation whose owner lives is open on it: the 137 of a committed checkpoint, or the
    death of a restore that was refused, is that owner's business, and it holds what we would wait for.
    """
    try:
        with ctx.locked(container_id) as container:
            if container.status is Status.STOPPED:
                container = teardown.teardown(ctx, container)
            if container.status is Status.EXITED and container.config.auto_remove and not container.state.checkpointed:
                discard(ctx, container, volumes=True)
    except (Busy, NotFound):
        return
