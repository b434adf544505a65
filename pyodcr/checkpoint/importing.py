"""From an archive's documents to a container of this host that can be restored.

An archive tells of another host and may be hostile, and when its documents are read nothing of it is verified: its
spec is rebuilt from an allow-list, and whatever this host must have for it (image, networks, bind sources, free
names and ports) is checked before anything is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.checkpoint import capture, reach
from pyodcr.checkpoint.admission import admit
from pyodcr.checkpoint.options import RestoreOptions
from pyodcr.checkpoint.reach import Reach
from pyodcr.errors import ArchiveInvalid, Conflict, NotFound, Unsupported
from pyodcr.lifecycle import foreign, prepare, probe
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState, NamedVolume, PortMapping
from pyodcr.lifecycle.spec import allowlist, names, observe, ports
from pyodcr.lifecycle.storage import refs

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

# every spec names these places of its host, and every start names them anew
PLACES = ("root.path ", "linux.cgroupsPath", "path of the ")


@dataclass(frozen=True, slots=True)
class Imported:
    """A container that is not recorded yet, the volumes it brings, what was left out of it and what it reaches."""

    container: Container
    new_volumes: tuple[NamedVolume, ...]
    warnings: tuple[str, ...]


def import_container(
    ctx: Context, configuration: Mapping[str, Any], document: Mapping[str, Any], options: RestoreOptions
) -> Imported:
    """The container that an archive's config.dump and spec.dump tell of, fitted to this host; nothing is made yet."""
    try:
        config = jsonio.decode(ContainerConfig, configuration, capture.CONFIG)
    except jsonio.JsonInvalid as error:
        raise ArchiveInvalid(f"the archive's {error}", code="archive-foreign") from error
    config = admit(config, ctx.config)
    if config.dependencies:
        raise Unsupported("cannot import checkpoints of containers with dependencies", code="has-dependencies")
    probe.find(ctx.config, config.runtime)
    config = replace(
        config,
        id=secrets.token_hex(32) if options.name else config.id,
        name=names.validate(options.name) if options.name else config.name,
        created_at=jsonio.now(),
        ports=_published(options.publish) or config.ports,
    )
    outside = reach.of(config, document)
    reach.require_trust(config.name, outside, trusted=options.trust)
    config = _with_image(ctx, config)
    _require_sources(outside)
    spec, left_out = _rebuilt(document, config, outside)
    _require_networks(ctx, config)
    new_volumes = _require_volumes(ctx, config, options)
    config = ctx.located(without_static(replace(config, spec=spec), options))
    container = Container(config, ContainerState())
    if not ctx.db.exists(container.id):  # else it is told when the container is recorded
        foreign.require_free(ctx, container)
    taken_over = tuple(f"the container {line}" for line in outside.lines())
    return Imported(container, new_volumes, (*left_out, *taken_over))


def _with_image(ctx: Context, config: ContainerConfig) -> ContainerConfig:
    if config.rootfs:
        if not Path(config.rootfs).is_dir():
            raise NotFound(
                f"the root filesystem {config.rootfs} of the container is not on this host", code="no-rootfs"
            )
        if not config.rootfs_overlay:
            prepare.require_no_mounts(Path(config.rootfs))
        return config
    try:
        ctx.images.lookup(config.image_id)
    except NotFound:
        # a name in a registry and nothing else: pull would also read from places of this host (dir:, oci-archive:)
        here = {image.id for image in ctx.images.list()}
        image = ctx.images.pull(str(refs.remote(config.image_name)))
        if image.id != config.image_id:
            if image.id not in here:
                ctx.images.remove(image.id, every_name=True)
            raise NotFound(
                f"the container was made from image {config.image_id[:12]}, "
                f"but {config.image_name} is {image.id[:12]} here",
                code="image-differs",
                hint="bring that very image here, for instance with skopeo copy and pyodcr image pull",
            ) from None
    return config


def _require_networks(ctx: Context, config: ContainerConfig) -> None:
    for name in config.networks:
        if name != ctx.config.network.default_network:
            ctx.networks.get(name)


def _require_volumes(ctx: Context, config: ContainerConfig, options: RestoreOptions) -> tuple[NamedVolume, ...]:
    """The volumes to be made."""
    volumes = {volume.name: volume for volume in config.named_volumes}
    if not options.ignore_volumes:
        for name in volumes:
            if ctx.volumes.exists(name):
                raise Conflict(
                    f"volume with name {name} already exists. Use --ignore-volumes to not restore content of volumes",
                    code="volume-exists",
                )
    return tuple(volume for name, volume in volumes.items() if not ctx.volumes.exists(name))


def _rebuilt(
    document: Mapping[str, Any], config: ContainerConfig, outside: Reach
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The spec from the allow-list, and a line for everything that was left out."""
    own = {volume.dest for volume in config.named_volumes} | {volume.dest for volume in config.overlay_volumes}
    spec, dropped = allowlist.rebuild(
        document,
        binds={place: Path(source) for place, source in outside.sources.items() if place not in own},
        remade=own,
        shared=("cgroup", *outside.namespaces),
        privileged=outside.privileged,
    )
    told = [f"left out of the archive's spec: {line}" for line in dropped if not line.startswith(PLACES)]
    return spec, tuple(told)


def _require_sources(outside: Reach) -> None:
    for destination, source in outside.sources.items():
        if not Path(source).exists():
            raise NotFound(
                f"{source}, which the container has mounted on {destination}, is not on this host",
                code="bind-source-missing",
                hint="bring it here first: bind mounts do not travel in archives",
            )


def _published(publish: tuple[str, ...]) -> tuple[PortMapping, ...]:
    return ports.mappings(publish, {}, observe.free_port, publish_all=False)


def without_static(config: ContainerConfig, options: RestoreOptions) -> ContainerConfig:
    networks = {
        name: replace(
            network,
            static_ips=() if options.ignore_static_ip else network.static_ips,
            static_mac="" if options.ignore_static_mac else network.static_mac,
        )
        for name, network in config.networks.items()
    }
    return replace(config, networks=networks)
