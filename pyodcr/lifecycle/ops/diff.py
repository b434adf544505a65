"""diff: what a container changed in its root filesystem, as ``podman diff`` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyodcr.errors import Unsupported
from pyodcr.lifecycle.storage import diff as overlay_diff

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def diff(ctx: Context, ref: str) -> Sequence[tuple[str, str]]:
    """(kind, path), sorted by path: A added, C changed, D deleted; directories above a change are changed too."""
    container = ctx.find(ref)
    if container.config.rootfs and not container.config.rootfs_overlay:
        raise Unsupported(
            f"container {container.name} works on {container.config.rootfs} itself: nothing tells its changes",
            code="no-layer",
            hint="create it with --rootfs DIR:O",
        )
    upper = ctx.place(container).upper
    if not upper.is_dir():
        return []  # it has never run
    found = overlay_diff.changes(upper, ctx.lower_directories(container))
    kinds = dict.fromkeys(found.modified, "C") | dict.fromkeys(found.added, "A") | dict.fromkeys(found.deleted, "D")
    return sorted(((kind, path) for path, kind in kinds.items() if path != "/"), key=lambda change: change[1])
