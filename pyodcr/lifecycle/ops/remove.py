"""rm: the container, its layer and its anonymous volumes, in any half state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyodcr.errors import Conflict
from pyodcr.lifecycle import teardown
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.ops.stop import StopOptions, stop
from pyodcr.lifecycle.transitions import LIVE, Op, require
from pyodcr.linux import cgroups, files, mounts

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOptions:
    """``volumes``: anonymous volumes go with it. ``timeout_s``: how long a running one gets with ``force``."""

    force: bool = False
    volumes: bool = False
    timeout_s: int | None = None


def remove(ctx: Context, ref: str, options: RemoveOptions) -> Container:
    if options.force:
        with ctx.locked(ref) as container:
            if container.status is Status.PAUSED:
                cgroups.thaw(ctx.cgroup(container))
                container = ctx.db.record(container, status=Status.RUNNING)
        if container.status in LIVE:
            stop(ctx, container.id, StopOptions(timeout_s=options.timeout_s))
    with ctx.locked(ref) as container:
        require(Op.REMOVE, container)
        dependents = [other.name for other in ctx.containers() if container.id in other.config.dependencies]
        if dependents:
            raise Conflict(
                f"container {container.name} has dependent containers which must be removed before it: "
                + ", ".join(dependents),
                code="has-dependents",
            )
        discard(ctx, container, volumes=options.volumes)
    return container


def discard(ctx: Context, container: Container, *, volumes: bool = False) -> None:
    """Remove a container that does not run. The lock is held; killed in between, the next ``rm`` goes on."""
    container = ctx.db.record(container, status=Status.REMOVING)
    place = ctx.place(container)
    teardown.leave_runtime(ctx, container)
    teardown.release(ctx, container)
    mounts.unmount_below(place.bundle)  # also what `pyodcr mount` holds
    files.remove_tree(place.bundle)
    files.remove_tree(place.persist)
    ctx.db.remove(container)
    files.remove(place.lock)
    if volumes:
        for volume in container.config.named_volumes:
            if volume.anonymous and not ctx.volumes.users(volume.name) and ctx.volumes.exists(volume.name):
                ctx.volumes.remove(volume.name)
