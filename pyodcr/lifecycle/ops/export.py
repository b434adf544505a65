"""export: a container's root filesystem as an uncompressed tar."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pyodcr.lifecycle.ops import mount
from pyodcr.lifecycle.storage import pack

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def export(ctx: Context, ref: str, sink: BinaryIO) -> None:
    """Write it all, as it is now; what a running container changes meanwhile may be in it or not.

    No lock is held while somebody slow reads: the mount is held instead, as by ``pyodcr mount``.
    """
    root = mount.mount(ctx, ref, event="export")
    try:
        pack.scan(root).write(sink)
    finally:
        mount.unmount(ctx, ref, event="")
