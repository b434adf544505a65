"""create: from what the user asked to a record."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from pyodcr.lifecycle import probe
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.build import Host, ImageDefaults, build

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def create(ctx: Context, options: CreateOptions) -> Container:
    """Record a new container; nothing of it is on the disk before its first start but what its volumes hold."""
    ctx.refresh_after_reboot()
    image = None if options.rootfs else _image(ctx, options)
    config = build(options, image, _host(ctx, options))
    container = Container(place(ctx, config), ContainerState())
    ctx.db.add(container, "create")
    for volume in container.config.named_volumes:
        ctx.volumes.create(volume.name, ignore=True, anonymous=volume.anonymous)
    return container


def place(ctx: Context, config: ContainerConfig) -> ContainerConfig:
    """The configuration with this host's directories in it."""
    directories = ctx.place(config)
    return replace(
        config,
        static_dir=str(directories.bundle),
        shm_dir="" if config.no_shm else str(directories.shm),
        log_path=config.log_path or str(directories.log),
    )
