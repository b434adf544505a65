"""pause and unpause: the freezer, through the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.transitions import Op, require

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def pause(ctx: Context, ref: str) -> Container:
    with ctx.locked(ref) as container:
        require(Op.PAUSE, container)
        ctx.runtime(container).pause(container.id)
        return ctx.db.record(container, "pause", status=Status.PAUSED)


def unpause(ctx: Context, ref: str) -> Container:
    with ctx.locked(ref) as container:
        require(Op.UNPAUSE, container)
        ctx.runtime(container).resume(container.id)
        return ctx.db.record(container, "unpause", status=Status.RUNNING)
