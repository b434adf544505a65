"""pause and unpause: the freezer, through the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyodcr.errors import RuntimeFailed
from pyodcr.lifecycle import refresh
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.transitions import Op, require

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def pause(ctx: Context, ref: str) -> Container:
    with ctx.locked(ref) as container:
        with _required(ctx, Op.PAUSE, container):
            ctx.runtime(container).pause(container.id)
        return ctx.db.record(container, "pause", status=Status.PAUSED)


def unpause(ctx: Context, ref: str) -> Container:
    with ctx.locked(ref) as container:
        with _required(ctx, Op.UNPAUSE, container):
            ctx.runtime(container).resume(container.id)
        return ctx.db.record(container, "unpause", status=Status.RUNNING)


@contextmanager
def _required(ctx: Context, op: Op, container: Container) -> Iterator[None]:
    """As :func:`require`, also of a container that ends between our look and the runtime's."""
    require(op, container)
    try:
        yield
    except RuntimeFailed:
        require(op, refresh.refresh(ctx, container))
        raise
