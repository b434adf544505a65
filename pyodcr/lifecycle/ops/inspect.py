"""inspect: everything known about a container, by Podman's keys, and ours under ``Pyodcr``.

Takes no lock and looks past an open operation, so it answers at once also during a long checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import jsonio
from pyodcr.errors import PyodcrError
from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.inspection import config as config_
from pyodcr.lifecycle.inspection import hostconfig, mounts, network
from pyodcr.lifecycle.models import Container, ContainerState, Status
from pyodcr.lifecycle.ops import listing
from pyodcr.lifecycle.spec.annotation import CRIU_CONFIG
from pyodcr.lifecycle.storage.images import Image
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def inspect(ctx: Context, container: Container, *, size: bool = False) -> JsonObject:
    """``podman container inspect``'s object. ``size`` looks through all that the container wrote."""
    config, state, place = container.config, container.state, ctx.place(container)
    spec = _spec(ctx, container)
    process = spec.get("process") or {}
    args = list(process.get("args") or ())
    capabilities = process.get("capabilities") or {}
    image = _image(ctx, container)
    found: JsonObject = {
        "Id": container.id,
        "Created": jsonio.format_time(config.created_at),
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": _state(ctx, container, str(spec.get("ociVersion", ""))),
        "Image": config.image_id,
        "ImageDigest": image.digest if image is not None else "",
        "ImageName": config.image_name,
        "Rootfs": config.rootfs,
        "Pod": "",
        **_own_files(place.run),
        "StaticDir": str(place.bundle),
        "OCIConfigPath": str(place.spec) if place.spec.exists() else "",
        "OCIRuntime": config.runtime,
        "ConmonPidFile": config.conmon_pid_file or str(place.conmon_pid_file),
        "PidFile": config.pid_file or str(place.pid_file),
        "Name": container.name,
        "RestartCount": state.restart_count,
        "Driver": "overlay",
        "MountLabel": config.mount_label,
        "ProcessLabel": config.process_label,
        "AppArmorProfile": process.get("apparmorProfile", ""),
        "EffectiveCaps": list(capabilities.get("effective") or ()),
        "BoundingCaps": list(capabilities.get("bounding") or ()),
        "ExecIDs": [session.id for session in ctx.db.exec_sessions(container.id)],
        "GraphDriver": {"Name": "overlay", "Data": Table(_layers(ctx, container, image))},
        "Mounts": mounts.describe(config, _mountpoints(ctx, container)),
        "Dependencies": sorted(config.dependencies),
        "NetworkSettings": network.describe(_with_network(ctx, container), lambda name: _network_id(ctx, name)),
        "Namespace": "",
        "IsInfra": False,
        "IsService": False,
        "KubeExitCodePropagation": "invalid",
        "lockNumber": 0,
        "Config": config_.describe(config, spec),
        "HostConfig": hostconfig.describe(config, spec, default_parent=ctx.config.cgroup_parent),
        "UseImageHosts": config.use_image_hosts,
        "UseImageHostname": False,
        "Pyodcr": _ours(ctx, container),
    }
    if size:
        sizes = listing.sizes(ctx, container)
        found |= {"SizeRw": sizes.rw_bytes, "SizeRootFs": sizes.rootfs_bytes}
    return found


def _state(ctx: Context, container: Container, oci_version: str) -> JsonObject:
    state: ContainerState = container.state
    return {
        "OciVersion": oci_version,
        "Status": str(container.status),
        "Running": container.status is Status.RUNNING,
        "Paused": container.status is Status.PAUSED,
        "Restarting": False,
        "OOMKilled": state.oom_killed,
        "Dead": False,
        "Pid": state.pid,
        "ConmonPid": state.conmon_pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": jsonio.format_time(state.started_at),
        "FinishedAt": jsonio.format_time(state.finished_at),
        "Checkpointed": state.checkpointed,
        "CgroupPath": ctx.cgroup(container) if state.pid else "",
        "CheckpointedAt": jsonio.format_time(state.checkpointed_at),
        "RestoredAt": jsonio.format_time(state.restored_at),
        "CheckpointLog": _kept(ctx.place(container).bundle / "dump.log"),
        "CheckpointPath": state.checkpoint_path,
        "RestoreLog": _kept(ctx.place(container).bundle / "restore.log"),
        "Restored": state.restored,
        "StoppedByUser": state.stopped_by_user,
    }


def _kept(log: Path) -> str:
    return str(log) if log.exists() else ""


def _ours(ctx: Context, container: Container) -> JsonObject:
    """``Operation`` is the checkpoint or restore that is under way, or whose owner died over it."""
    operation = ctx.db.operation(container.id)
    return {
        "CheckpointArchive": container.state.checkpoint_archive,
        "MountCount": container.state.mount_count,
        "Operation": None
        if operation is None
        else {
            "Id": operation.id,
            "Kind": str(operation.kind),
            "Stage": str(operation.stage),
            "OwnerPid": operation.owner_pid,
            "OwnerLives": operation.owner_lives,
            "StartedAt": jsonio.format_time(operation.started_at),
            "LeaveRunning": operation.leave_running,
            "Archive": operation.archive,
        },
    }


def _spec(ctx: Context, container: Container) -> JsonObject:
    """The config.json of the last start, before the first the spec as asked for; our own annotation is no one's."""
    text = files.read(ctx.place(container).spec)
    spec = jsonio.loads(text, str(ctx.place(container).spec)) if text else dict(container.config.spec)
    annotations = {name: value for name, value in (spec.get("annotations") or {}).items() if name != CRIU_CONFIG}
    return {**spec, "annotations": annotations}


def _own_files(run: Path) -> dict[str, str]:
    names = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    return {key: str(run / name) if (run / name).exists() else "" for key, name in names.items()}


def _image(ctx: Context, container: Container) -> Image | None:
    """None where there is none, or it was removed by force."""
    if not container.config.image_id:
        return None
    try:
        return ctx.images.lookup(container.config.image_id)
    except PyodcrError:
        return None


def _layers(ctx: Context, container: Container, image: Image | None) -> dict[str, str]:
    config, place = container.config, ctx.place(container)
    if config.rootfs and not config.rootfs_overlay:
        return {}
    lowers = [config.rootfs] if config.rootfs else [str(path) for path in ctx.images.layer_dirs(image)] if image else []
    data = {
        "LowerDir": ":".join(lowers),
        "UpperDir": str(place.upper),
        "WorkDir": str(place.layer / "work"),
    }
    return data | ({"MergedDir": container.state.mountpoint} if container.state.mountpoint else {})


def _mountpoints(ctx: Context, container: Container) -> dict[str, Path]:
    wanted = {volume.name for volume in container.config.named_volumes}
    return {volume.name: volume.mountpoint for volume in ctx.volumes.list() if volume.name in wanted} if wanted else {}


def _with_network(ctx: Context, container: Container) -> Container:
    """The container in whose network namespace this one lives."""
    if not container.config.net_container:
        return container
    try:
        return ctx.db.get(container.config.net_container)
    except PyodcrError:
        return container


def _network_id(ctx: Context, name: str) -> str:
    try:
        return ctx.networks.get(name).id
    except PyodcrError:
        return name
