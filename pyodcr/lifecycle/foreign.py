"""Containers of another engine, or of another ``--root``, that have an ID which we have, too.

The runtimes' state (/run/crun/ID, /run/runc/ID) and the cgroups belong to the host, not to one root, and an archive
brings its ID along. So whoever kills, deletes or makes by ID asks here first whose it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import Conflict
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.runtime import saved_annotations
from pyodcr.lifecycle.spec import annotation
from pyodcr.linux import cgroups

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

STATES = Path("/run")


def holds(ctx: Context, container: Container) -> bool:
    """Whether a runtime keeps a container of this ID that is somebody else's.

    Ours names our CRIU configuration in the annotations that the runtime saved. What was half made or half
    deleted has none that can be read: it is ours.
    """
    own = str(ctx.place(container).criu / "criu.conf")
    for directory in _states(ctx, container):
        try:
            found = saved_annotations(directory)
        except jsonio.JsonInvalid:
            continue
        if found is not None and found.get(annotation.CRIU_CONFIG) != own:
            return True
    return False


def require_free(ctx: Context, container: Container) -> None:
    """Refuse a new container whose ID any runtime knows, or whose cgroup has processes (``id-taken``)."""
    known = [str(directory) for directory in _states(ctx, container)]
    cgroup = ctx.cgroup(container)
    if cgroups.processes(cgroup):
        known.append(f"the cgroup {cgroup}")
    if known:
        raise Conflict(
            f"a container with ID {container.id} already exists on this host, though not here: see {known[0]}",
            code="id-taken",
            hint="--name makes a copy with an ID of its own",
        )


def _states(ctx: Context, container: Container) -> tuple[Path, ...]:
    """Where the runtimes of this host keep a container of that ID."""
    runtimes = {Path(name).name for name in (*probe.names(ctx.config), container.config.runtime)}
    return tuple(path for name in sorted(runtimes) if (path := STATES / name / container.id).exists())
