"""prune: what killed processes left of containers, operations, images, volumes and networks that are no more.

A row is recorded before anything is made for it and removed after everything is gone, so what no row names is
a leftover. Directories are listed before the rows are asked: what appears meanwhile is not even looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr.lifecycle import recovery
from pyodcr.linux import cgroups, files, flock, mounts

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

ID = re.compile(r"[0-9a-f]{16,64}")  # other locks lie beside those of containers
ANY = "0" * 64  # to ask for the directory in which those of all containers or operations lie


class Kind(StrEnum):
    OPERATION = "operation"  # finished or undone for its dead owner; the name tells which and of what
    UPLOAD = "unfinished upload"
    STAGING = "staging"
    CONTAINER = "container"
    NETWORK = "network attachment"
    IMAGE = "image data"
    VOLUME = "volume data"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that was removed, or that ``kept`` tells the reason of."""

    kind: Kind
    name: str
    kept: str = ""


def prune(ctx: Context) -> tuple[Leftover, ...]:
    """Remove it all. Containers, images, volumes and networks that have a name stay as they are."""
    ctx.refresh_after_reboot()
    return tuple(_swept(ctx))


def _swept(ctx: Context) -> Iterator[Leftover]:
    for operation in recovery.sweep(ctx):
        yield Leftover(Kind.OPERATION, f"{operation.kind} of {operation.container}")
    for _ in range(recovery.abort_uploads(ctx)):
        yield Leftover(Kind.UPLOAD, "of a checkpoint that was killed")
    yield from _staging(ctx)
    yield from _containers(ctx)
    for container_id in ctx.networking.sweep(ctx.db.exists):
        yield Leftover(Kind.NETWORK, container_id)
    for name in ctx.images.sweep():
        yield Leftover(Kind.IMAGE, name)
    for name in ctx.volumes.sweep():
        yield Leftover(Kind.VOLUME, name)


def _staging(ctx: Context) -> Iterator[Leftover]:
    left = _ids(ctx.paths.staging(ANY).parent) | _ids(ctx.paths.hook(ANY).parent)
    for operation_id in sorted(left - {operation.id for operation in ctx.db.operations()}):
        staging = ctx.paths.staging(operation_id)
        mounts.unmount_below(staging)
        files.remove_tree(staging)
        files.remove_tree(ctx.paths.hook(operation_id))
        yield Leftover(Kind.STAGING, operation_id)


def _containers(ctx: Context) -> Iterator[Leftover]:
    place = ctx.paths.container(ANY)
    left = set().union(*(_ids(path.parent) for path in (place.bundle, place.run, place.persist, place.lock)))
    for container_id in sorted(left):
        if not ctx.db.exists(container_id):
            found = _container(ctx, container_id)
            if found is not None:
                yield found


def _container(ctx: Context, container_id: str) -> Leftover | None:
    place = ctx.paths.container(container_id)
    with flock.exclusive(place.lock):  # whoever removed the row may still be at work
        if ctx.db.exists(container_id):
            return None
        if cgroups.processes(f"{ctx.config.cgroup_parent}/{container_id}"):
            return Leftover(Kind.CONTAINER, container_id, kept="it runs, and the state knows nothing of it")
        mounts.unmount_below(place.bundle)
        for directory in (place.bundle, place.run, place.persist):
            files.remove_tree(directory)
        files.remove(place.lock)
    return Leftover(Kind.CONTAINER, container_id)


def _ids(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if ID.fullmatch(path.name)} if directory.is_dir() else set()
