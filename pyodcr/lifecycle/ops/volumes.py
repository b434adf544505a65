"""volume: which there are, and their removal together with who uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyodcr.lifecycle.models import Volume
from pyodcr.lifecycle.ops import filters
from pyodcr.lifecycle.ops.remove import remove_all

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def listed(ctx: Context, wanted: Sequence[str]) -> Sequence[Volume]:
    """The volumes that ``NAME=VALUE`` filters choose."""
    used = {volume.name for container in ctx.containers() for volume in container.config.named_volumes}
    return filters.volumes(ctx.volumes.list(), wanted, used)


def remove(ctx: Context, ref: str, *, force: bool, timeout_s: int | None) -> Volume:
    """With ``force`` the containers using it are removed first."""
    volume = ctx.volumes.find(ref)
    if force:
        remove_all(ctx, ctx.volumes.users(volume.name), timeout_s)
    return ctx.volumes.remove(volume.name)
