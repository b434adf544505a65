"""network: which there are, made and removed, and told as events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.ops import filters
from pyodcr.lifecycle.ops.remove import remove_all

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.network.definitions import Network, NewNetwork


def listed(ctx: Context, wanted: Sequence[str]) -> Sequence[Network]:
    """The networks that ``NAME=VALUE`` filters choose."""
    used = {name for container in ctx.containers() for name in container.config.networks}
    return filters.networks(ctx.networks.list(), wanted, used | {ctx.config.network.default_network})


def users(ctx: Context, name: str) -> Sequence[Container]:
    return [container for container in ctx.containers() if name in container.config.networks]


def create(ctx: Context, asked: NewNetwork) -> Network:
    network = ctx.networks.create(asked)
    ctx.tell("network", "create", network.id, network.name)
    return network


def remove(ctx: Context, ref: str, *, force: bool, timeout_s: int | None) -> Network:
    """With ``force`` the containers that join it are removed first."""
    network = ctx.networks.get(ref)
    if force:
        remove_all(ctx, users(ctx, network.name), timeout_s)
    removed = ctx.networks.remove(ref, in_use=[user.id for user in users(ctx, network.name)])
    ctx.tell("network", "remove", removed.id, removed.name)
    return removed
