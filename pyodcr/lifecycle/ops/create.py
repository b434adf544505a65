"""create: from what the user asked to a record."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import NotFound, UsageError
from pyodcr.lifecycle import probe, volumes
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import names, observe
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.storage.images import Image


def create(ctx: Context, options: CreateOptions) -> Container:
    """Record a new container; of it, nothing but its volumes is on the disk before its first start."""
    ctx.refresh_after_reboot()
    if options.rootfs:
        return _record(ctx, build(options, None, _host(ctx)))
    from pyodcr.lifecycle.storage.pulling import PullPolicy

    try:
        policy = PullPolicy(options.pull)
    except ValueError as error:
        known = ", ".join(PullPolicy)
        raise UsageError(f'"{options.pull}" is no pull policy', hint=f"one of {known}") from error
    pulled = ctx.images.pull(options.image, policy=policy)
    with ctx.images.using(pulled.id) as image:  # nobody removes it before the record names it
        return _record(
            ctx, build(options, _defaults(image, _name(ctx, image, options.image), options.image), _host(ctx))
        )


def _record(ctx: Context, config: ContainerConfig) -> Container:
    container = Container(ctx.located(config), ContainerState())
    ctx.db.add(container, "create")
    for volume in config.named_volumes:
        ctx.volumes.create(volume.name, ignore=True, anonymous=volume.anonymous)
    return container


def _defaults(image: Image, name: str, typed: str) -> ImageDefaults:
    config = image.config
    return ImageDefaults(
        id=image.id,
        name=name,
        raw_name=typed,
        env=config.env,
        cmd=config.cmd,
        entrypoint=config.entrypoint,
        user=config.user,
        workdir=config.working_dir,
        labels=config.labels,
        volumes=tuple(config.volumes),
        exposed_ports=tuple(config.exposed_ports),
        stop_signal=config.stop_signal,
    )


def _name(ctx: Context, image: Image, typed: str) -> str:
    """The full name that the user meant: an image may have several, and an archive carries the container's."""
    with suppress(NotFound, UsageError):  # typed may also be a place: oci-archive:FILE
        found, name = ctx.images.resolve(typed)
        if name and found.id == image.id:
            return name
    return image.names[0] if image.names else image.id


def _host(ctx: Context) -> Host:
    taken = {container.name for container in ctx.containers()}
    return Host(
        container_id=secrets.token_hex(32),
        generated_name=names.generate(taken.__contains__),
        now=jsonio.now(),
        paths=ctx.paths,
        kernel=observe.kernel(),
        runtime=probe.default_runtime(ctx.config).name,
        cgroup_parent=ctx.config.cgroup_parent,
        cgroup_manager=ctx.config.cgroup_manager,
        default_network=ctx.config.network.default_network,
        resolve=lambda ref: ctx.find(ref).config,
        free_port=observe.free_port,
        new_volume_name=volumes.random_name,
    )
