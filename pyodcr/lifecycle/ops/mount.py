"""mount and unmount: a container's root filesystem for whoever wants to look into it, counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr.errors import WrongState
from pyodcr.lifecycle import prepare
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.storage import overlay

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

IDLE = frozenset({Status.CONFIGURED, Status.EXITED})  # in these the container itself needs no root filesystem


def mount(ctx: Context, ref: str, *, event: str = "mount") -> Path:
    """Mount the root filesystem, or hold the mount that is there; each mount wants an :func:`unmount`."""
    with ctx.locked(ref) as container:
        if container.status is Status.REMOVING:
            raise WrongState(f"cannot mount container {container.name}: it is being removed")
        rootfs = prepare.mount_rootfs(ctx, container)
        ctx.db.record(container, event, mountpoint=str(rootfs), mount_count=container.state.mount_count + 1)
        return rootfs


def unmount(ctx: Context, ref: str, *, force: bool = False, event: str = "unmount") -> Container:
    """Give one mount back, or with ``force`` all; with the last one it is unmounted, unless the container needs it.

    Raises :class:`WrongState` (``not-mounted``) where there is none to give back.
    """
    with ctx.locked(ref) as container:
        held = container.state.mount_count
        if held == 0 and not force:
            raise WrongState(
                f"container {container.name} is not mounted",
                code="not-mounted",
                hint="a running container's own mount ends with it" if container.status not in IDLE else None,
            )
        left = 0 if force else held - 1
        if left or container.status not in IDLE:
            return ctx.db.record(container, event, mount_count=left)
        overlay.unmount(ctx.place(container).layer)
        return ctx.db.record(container, event, mount_count=0, mountpoint="")
