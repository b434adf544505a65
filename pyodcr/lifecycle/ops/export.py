"""export: a container's root filesystem as an uncompressed tar."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pyodcr.lifecycle.ops import mount
from pyodcr.lifecycle.storage import pack

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def export(ctx: Context, ref: str, sink: BinaryIO) -> None:
    """Write it all, as it is now; what a running container changes meanwhile may be in it or not."""
    root = mount.mount(ctx, ref)
    try:
        pack.scan(root).write(sink)
    finally:
        mount.unmount(ctx, ref)
