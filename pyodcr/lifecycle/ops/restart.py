"""restart: stop, then start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.ops.start import start
from pyodcr.lifecycle.ops.stop import StopOptions, end
from pyodcr.lifecycle.transitions import Op, require

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def restart(ctx: Context, ref: str, options: StopOptions) -> Container:
    with ctx.locked(ref) as container:
        require(Op.RESTART, container)
    if container.status is Status.RUNNING:
        end(ctx, container.id, options)
    started = start(ctx, container.id)
    ctx.db.tell_of(started, "restart")
    return started
