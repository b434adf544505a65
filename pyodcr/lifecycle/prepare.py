"""Everything a container needs before its runtime is called: root filesystem, /dev/shm, volumes, network, config.json.

``start`` and ``restore`` share it. Nothing here has to be remembered to be undone: every place is named by the
container's ID, so :mod:`.teardown` finds what a killed process left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import NotFound, UsageError, WrongState
from pyodcr.lifecycle import localtime, ownership, refresh, teardown
from pyodcr.lifecycle.models import Container, NetworkOptions
from pyodcr.lifecycle.network import names, ports
from pyodcr.lifecycle.spec.finalize import Place, finalize, host_changes
from pyodcr.lifecycle.spec.users import UserInfo, lookup
from pyodcr.lifecycle.storage import overlay
from pyodcr.linux import files, mounts

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

NAMESPACE_FILES = {
    "ipc": "ipc",
    "network": "net",
    "pid": "pid",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
}


@dataclass(frozen=True, slots=True)
class Mounted:
    """A container's file systems: there to be filled, before anything else of it is.

    ``volumes`` are by name, ``overlays`` by destination, ``namespaces`` are the paths of those it joins.
    """

    rootfs: Path
    user: UserInfo
    volumes: Mapping[str, Path]
    overlays: Mapping[str, Path]
    namespaces: Mapping[str, str]


def mount_rootfs(ctx: Context, container: Container) -> Path:
    """Mount the container's root filesystem, or find it mounted."""
    config, place = container.config, ctx.place(container)
    if config.rootfs and not Path(config.rootfs).is_dir():
        raise NotFound(f"the root filesystem {config.rootfs} of container {config.name} is gone", code="no-rootfs")
    if config.rootfs and not config.rootfs_overlay:
        require_no_mounts(Path(config.rootfs))
        return Path(config.rootfs)
    return overlay.mount(place.layer, ctx.lower_directories(container), label=config.mount_label)


def require_no_mounts(rootfs: Path) -> None:
    """Refuse a root directory that others' file systems are mounted in, above all ``/``.

    The runtimes bind it with all that is mounted below, and take the bind down again: in reach of the host's mounts.
    """
    inside = [found.target for found in mounts.below(rootfs.resolve()) if found.target != rootfs.resolve()]
    if inside:
        raise UsageError(
            f"{rootfs} cannot be a root filesystem: {inside[0]} is mounted in it",
            code="rootfs-has-mounts",
            hint="give it an overlay of its own: --rootfs DIR:O",
        )


def prepare(ctx: Context, container: Container, undo: ExitStack) -> Container:
    """Set it all up, and record it; on failure the caller's ``undo`` takes it down again."""
    undo.callback(teardown.release, ctx, container)
    return connect(ctx, container, mount(ctx, container))


def mount(ctx: Context, container: Container) -> Mounted:
    """The first half of :func:`prepare`; :func:`.teardown.release` undoes either half."""
    config, place = container.config, ctx.place(container)
    namespaces = _joined_namespaces(ctx, container)
    for directory in (place.bundle, place.run, place.persist):
        files.make_directory(directory)
    rootfs = mount_rootfs(ctx, container)
    if not config.no_shm and not config.ipc_container:
        _mount_shm(place.shm, config.shm_size_bytes, config.mount_label)
    user = lookup(rootfs, config.user, config.groups)
    for change in host_changes(config):
        if change.chown:
            ownership.give(change.path, (user.uid, user.gid))
    volumes = {
        volume.name: ctx.volumes.prepare(volume, rootfs, (user.uid, user.gid)) for volume in config.named_volumes
    }
    overlays = {
        volume.dest: overlay.mount(place.overlays / str(index), [Path(volume.source)], label=config.mount_label)
        for index, volume in enumerate(config.overlay_volumes)
    }
    return Mounted(rootfs, user, volumes, overlays, namespaces)


def connect(
    ctx: Context,
    container: Container,
    mounted: Mounted,
    *,
    networks: Mapping[str, NetworkOptions] | None = None,
    lock_network: bool = False,
) -> Container:
    """The second half: the network, and the spec that names it all. Returns the container as it is recorded then.

    ``networks`` overrides how the networks are joined (restore keeps dump-time addresses); ``lock_network``
    puts CRIU's own packet lock into the namespace before an interface comes up.
    """
    config, place = container.config, ctx.place(container)
    shared = mounted.namespaces.get("network")
    attached = ctx.networking.attach(
        config, netns_path=Path(shared) if shared else place.netns, wanted=networks, locked=lock_network
    )
    container = ctx.db.record(
        container, netns=str(attached.netns or ""), network_status=attached.status, mountpoint=str(mounted.rootfs)
    )
    names.write(place.run, config, attached.status)
    binds = _own_files(ctx, container)
    spec = finalize(
        config,
        Place(
            rootfs=mounted.rootfs,
            netns=attached.netns,
            namespaces=mounted.namespaces,
            binds=binds,
            volumes=mounted.volumes,
            overlays=mounted.overlays,
            cgroups_path=ctx.cgroup(container),
            criu_config=place.criu / "criu.conf",
            user=mounted.user,
        ),
    )
    files.write(place.spec, jsonio.dumps(spec))
    return container


@contextmanager
def reserved_ports(ctx: Context, container: Container) -> Iterator[tuple[int, ...]]:
    """Hold the published ports of the host while the container's monitor is started, which inherits the sockets."""
    if not container.config.ports:
        yield ()
        return
    published = {other.name: other.config.ports for other in ctx.containers() if other.id != container.id}
    with ports.reserved(container.config.ports, published=published) as descriptors:
        yield descriptors


def _joined_namespaces(ctx: Context, container: Container) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for kind, other_id in container.config.namespace_containers.items():
        try:
            other = ctx.find(other_id)
            other = refresh.shown(other, ctx.place(other))  # its pid may be another process' by now
        except NotFound as error:
            raise NotFound(
                f"container {container.name} shares the {kind} namespace of {other_id}, which is gone"
            ) from error
        if other.state.pid == 0:
            raise WrongState(
                f"some dependencies of container {container.name} are not started: {other.name}",
                code="dependency-not-running",
                hint=f"pyodcr start {other.name}",
            )
        found[kind] = f"/proc/{other.state.pid}/ns/{NAMESPACE_FILES[kind]}"
    return found


def _mount_shm(path: Path, size_bytes: int, label: str) -> None:
    files.make_directory(path)
    if mounts.is_mounted(path):
        return
    options = f"mode=1777,size={size_bytes}"
    if label:
        options += f',context="{label}"'
    mounts.mount("shm", path, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC, options)


def _own_files(ctx: Context, container: Container) -> Mapping[str, Path]:
    """The files of ours that the container sees: destination -> source."""
    config, place = container.config, ctx.place(container)
    files.write(place.run / ".containerenv", "", mode=0o644)
    named = ctx.paths.container(config.net_container).run if config.net_container else place.run
    if config.timezone:
        localtime.write(config.timezone, place.run / "localtime")
    found = {
        "/etc/localtime": place.run / "localtime",
        "/etc/hosts": named / "hosts",
        "/etc/resolv.conf": named / "resolv.conf",
        "/etc/hostname": place.run / "hostname",
        "/run/.containerenv": place.run / ".containerenv",
        "/dev/shm": (ctx.paths.container(config.ipc_container) if config.ipc_container else place).shm,
    }
    return {destination: source for destination, source in found.items() if source.exists()}
