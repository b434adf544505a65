"""mount and unmount: a container's root filesystem for whoever wants to look into it, counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr.lifecycle import prepare
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.storage import overlay
from pyodcr.lifecycle.transitions import LIVE

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def mount(ctx: Context, ref: str) -> Path:
    """Mount the root filesystem, or hold the mount of a running container; each mount wants an unmount."""
    with ctx.locked(ref) as container:
        rootfs = prepare.mount_rootfs(ctx, container)
        ctx.db.record(container, "mount", mountpoint=str(rootfs), mount_count=container.state.mount_count + 1)
        return rootfs


def unmount(ctx: Context, ref: str, *, force: bool = False) -> Container:
    """Give one mount back; the last one unmounts, unless the container runs on it. ``force``: give all back."""
    with ctx.locked(ref) as container:
        held = container.state.mount_count
        left = 0 if force else max(0, held - 1)
        if left == 0 and container.status not in LIVE:
            overlay.unmount(ctx.place(container).layer)
            return ctx.db.record(container, "unmount" if held else "", mount_count=0, mountpoint="")
        return ctx.db.record(container, "unmount" if held else "", mount_count=left)
