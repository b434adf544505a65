"""rm: the container, its layer and its anonymous volumes, in any half state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyodcr.errors import Conflict, NotFound
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.ops.cancel import cancel
from pyodcr.lifecycle.ops.stop import StopOptions, stop
from pyodcr.lifecycle.order import needed_first
from pyodcr.lifecycle.teardown import discard
from pyodcr.lifecycle.transitions import LIVE, Op, require
from pyodcr.linux import cgroups

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOptions:
    """``volumes``: anonymous volumes go with it. ``timeout_s``: how long a running one gets with ``force``."""

    force: bool = False
    volumes: bool = False
    timeout_s: int | None = None


def remove(ctx: Context, ref: str, options: RemoveOptions) -> Container:
    """Remove a container; with ``force`` also one that runs, as often as somebody else starts it again.

    ``force`` cancels a checkpoint or restore of it, too.
    """
    stopped: Container | None = None
    while True:
        try:
            if options.force:
                cancel(ctx, ref)
            with ctx.locked(ref) as container:
                _require_no_dependents(ctx, container)
                if not options.force or container.status not in LIVE:
                    require(Op.REMOVE, container)
                    discard(ctx, container, volumes=options.volumes)
                    return container
                if container.status is Status.PAUSED:
                    cgroups.thaw(ctx.cgroup(container))
                    ctx.db.record(container, "unpause", status=Status.RUNNING)
        except NotFound:
            if stopped is None:
                raise
            return stopped  # made with --rm: it went when it ended
        stopped = stop(ctx, container.id, StopOptions(timeout_s=options.timeout_s))
        ref = container.id


def remove_all(ctx: Context, containers: Sequence[Container], timeout_s: int | None = None) -> None:
    """Remove them by force, each before those it depends on."""
    for container in reversed(needed_first(containers)):
        with suppress(NotFound):  # somebody else was faster
            remove(ctx, container.id, RemoveOptions(force=True, timeout_s=timeout_s))


def _require_no_dependents(ctx: Context, container: Container) -> None:
    dependents = [other.name for other in ctx.containers() if container.id in other.config.dependencies]
    if dependents:
        raise Conflict(
            f"container {container.name} has dependent containers which must be removed before it: "
            + ", ".join(dependents),
            code="has-dependents",
        )
