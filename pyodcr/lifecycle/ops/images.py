"""image: made, fetched, named, listed and removed, and told as events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.ops import filters
from pyodcr.lifecycle.ops.remove import remove_all
from pyodcr.lifecycle.storage import imageinspect
from pyodcr.lifecycle.storage.progress import silent

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.storage.images import Image
    from pyodcr.lifecycle.storage.imagestore import Removed
    from pyodcr.lifecycle.storage.progress import Progress
    from pyodcr.lifecycle.storage.pulling import PullPolicy
    from pyodcr.lifecycle.storage.skopeo import Access


def import_rootfs(
    ctx: Context,
    source: BinaryIO | Path,
    name: str,
    *,
    changes: Sequence[str],
    message: str,
    architecture: str,
    report: Progress | None,
) -> Image:
    """Make an image of one layer from a tarball of a root filesystem."""
    image = ctx.images.import_rootfs(
        source, name, changes=changes, message=message, architecture=architecture, report=report or silent
    )
    ctx.tell("image", "import", image.id, name)
    return image


def pull(ctx: Context, ref: str, *, policy: PullPolicy, access: Access | None, report: Progress | None) -> Image:
    """Fetch an image from a registry, or from a file or directory."""
    image = ctx.images.pull(ref, policy=policy, access=access, report=report or silent)
    ctx.tell("image", "pull", image.id, ref)
    return image


def tag(ctx: Context, ref: str, name: str) -> Image:
    """Give an image one more name; another image that has it loses it."""
    image = ctx.images.tag(ref, name)
    ctx.tell("image", "tag", image.id, name)
    return image


def listed(ctx: Context, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """``podman image ls --format json``'s objects, newest first, with ``Tags``: pairs of repository and tag."""
    return [
        imageinspect.summary(image, containers=len(_users(ctx, image.id)))
        | {"Tags": imageinspect.repositories_and_tags(image)}
        for image in filters.images(ctx.images.list(), wanted, ctx.images.lookup)
    ]


def remove(ctx: Context, ref: str, *, force: bool, every_name: bool) -> Removed:
    """Untag or remove; with ``force`` the containers made from it go first, unless it keeps another name."""
    image, name = ctx.images.resolve(ref)
    if force and (every_name or not name or len(image.names) == 1):
        remove_all(ctx, _users(ctx, image.id))
    removed = ctx.images.remove(
        ref, force=force, every_name=every_name, in_use=lambda image_id: [user.id for user in _users(ctx, image_id)]
    )
    for untagged in removed.untagged:
        ctx.tell("image", "untag", image.id, untagged)
    if removed.deleted:
        ctx.tell("image", "remove", image.id, ref)
    return removed


def _users(ctx: Context, image_id: str) -> Sequence[Container]:
    return [container for container in ctx.containers() if container.config.image_id == image_id]
