"""The config.json for this start on this host: the spec as asked for, put in its place.

What the user asked for is in :class:`~pyodcr.lifecycle.models.ContainerConfig` and stays; everything here may be
another path the next time, or on another host after an import.
"""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyodcr.errors import NotFound, Unsupported
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.spec import annotation, devices, mount_options
from pyodcr.lifecycle.spec.users import UserInfo

CONTAINERENV = "/run/.containerenv"
SHM = "/dev/shm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a container is about to run.

    ``namespaces``: OCI kind -> the namespace of another container (/proc/PID/ns/X). ``binds``: destination ->
    file or directory of ours. ``volumes``: name -> directory. ``overlays``: destination -> the mounted
    throw-away overlay of each ``:O`` volume.
    """

    rootfs: Path
    cgroups_path: str
    criu_config: Path
    user: UserInfo
    netns: Path | None = None
    namespaces: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, Path] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    overlays: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostChange:
    """What the option U, z or Z asks of a bind mount's source, before the container starts."""

    path: Path
    chown: bool
    relabel: str  # "", "shared" or "private"


def finalize(config: ContainerConfig, place: Place) -> JsonObject:
    """Pure, but that a privileged container gets the devices that are in /dev now."""
    spec: JsonObject = copy.deepcopy(dict(config.spec))
    spec["root"] = {"path": str(place.rootfs), "readonly": _is_readonly(config)}
    spec["process"] = _process(config, spec["process"], place)
    spec["mounts"] = mounts = _mounts(config, place)
    spec["annotations"] = {**(spec.get("annotations") or {}), annotation.CRIU_CONFIG: str(place.criu_config)}
    linux = spec["linux"]
    linux["cgroupsPath"] = place.cgroups_path
    linux["namespaces"] = _namespaces(config, linux["namespaces"], place)
    if config.uts_container:
        spec.pop("hostname", None)  # it has the other's, and the runtimes refuse to set that
    if config.mount_label:
        linux["mountLabel"] = config.mount_label
    propagation = _root_propagation(mounts)
    if propagation:
        linux["rootfsPropagation"] = propagation
    if config.privileged:
        own = {node["path"]: node for node in devices.of_host()}
        linux["devices"] = [*(own | {node["path"]: node for node in linux.get("devices") or ()}).values()]
    return spec


def host_changes(config: ContainerConfig) -> tuple[HostChange, ...]:
    """What has to be done to the sources of bind mounts; volumes have their own keeper."""
    found = []
    for mount in config.spec.get("mounts") or ():
        options = mount.get("options") or ()
        relabel = "private" if "Z" in options else "shared" if "z" in options else ""
        if mount.get("type") == "bind" and ("U" in options or relabel):
            found.append(HostChange(Path(mount["source"]), "U" in options, relabel))
    return tuple(found)


def _is_readonly(config: ContainerConfig) -> bool:
    return bool((config.spec.get("root") or {}).get("readonly"))


def _process(config: ContainerConfig, process: JsonObject, place: Place) -> JsonObject:
    user: JsonObject = {"uid": place.user.uid, "gid": place.user.gid}
    if config.umask:
        user["umask"] = int(config.umask, 8)
    if place.user.additional_gids:
        user["additionalGids"] = list(place.user.additional_gids)
    env = list(process.get("env") or ())
    if not any(word.startswith("HOME=") for word in env):
        env.append(f"HOME={place.user.home}")
    labels = {"selinuxLabel": config.process_label} if config.process_label else {}
    return {**process, "user": user, "env": env, **labels}


def _namespaces(config: ContainerConfig, asked: Iterable[Mapping[str, Any]], place: Place) -> list[JsonObject]:
    paths = dict(place.namespaces)
    if config.own_netns:
        if place.netns is not None:
            paths["network"] = str(place.netns)
        elif config.networks:
            raise NotFound(f"container {config.name} has no network namespace yet")
    missing = config.namespace_containers.keys() - paths.keys()
    if missing:
        raise NotFound(f"container {config.name} shares the {min(missing)} namespace of a container that does not run")
    kinds = {entry["type"]: dict(entry) for entry in asked}
    for kind, path in paths.items():
        kinds[kind] = {"type": kind, "path": path}
    return list(kinds.values())


def _mounts(config: ContainerConfig, place: Place) -> list[JsonObject]:
    """One mount per destination, parents before what lies below them.

    A volume takes the place of a default mount; a file of ours never takes the place of a user's mount.
    """
    found: dict[str, JsonObject] = {}
    for mount in config.spec.get("mounts") or ():
        found[posixpath.normpath(mount["destination"])] = _asked(mount, place)
    for volume in config.named_volumes:
        if volume.sub_path:
            raise Unsupported(f"a part of the volume {volume.name} cannot be mounted: {volume.sub_path}")
        source = _present(place.volumes, volume.name, config, "volume")
        found[posixpath.normpath(volume.dest)] = _bind(volume.dest, source, mount_options.for_runtime(volume.options))
    for overlay in config.overlay_volumes:
        source = _present(place.overlays, overlay.dest, config, "overlay for")
        found[posixpath.normpath(overlay.dest)] = _bind(overlay.dest, source, ["rbind", "rprivate"])
    for destination, source in place.binds.items():
        if not _is_unwanted(destination, config, found):
            found.setdefault(destination, _bind(destination, source, _own_options(config, destination)))
    return sorted(found.values(), key=lambda mount: posixpath.normpath(mount["destination"]).count("/"))


def _asked(mount: Mapping[str, Any], place: Place) -> JsonObject:
    options = mount.get("options") or ()
    owner = []
    if "U" in options and mount.get("type") == "tmpfs":
        owner = [f"uid={place.user.uid}", f"gid={place.user.gid}"]
    return {**mount, "options": [*mount_options.for_runtime(options), *owner]}


def _is_unwanted(destination: str, config: ContainerConfig, found: Mapping[str, JsonObject]) -> bool:
    """Our file would have to be made in a directory of the host, or a /dev/shm where none shall be."""
    if destination == SHM:
        return config.no_shm
    run = found.get(posixpath.dirname(CONTAINERENV))
    return destination == CONTAINERENV and run is not None and run["type"] != "tmpfs"


def _own_options(config: ContainerConfig, destination: str) -> list[str]:
    options = ["bind", "rprivate"]
    if destination == SHM:
        options += ["nosuid", "noexec", "nodev"]
        writable = config.extra.get("readWriteTmpfs", False)
        return options if writable or not _is_readonly(config) else [*options, "ro"]
    return [*options, "ro", "nosuid", "noexec", "nodev"] if _is_readonly(config) else options


def _bind(destination: str, source: Path, options: list[str]) -> JsonObject:
    return {"destination": destination, "type": "bind", "source": str(source), "options": options}


def _present(table: Mapping[str, Path], name: str, config: ContainerConfig, what: str) -> Path:
    if name not in table:
        raise NotFound(f"the {what} {name} of container {config.name} is not mounted")
    return table[name]


def _root_propagation(mounts: Iterable[Mapping[str, Any]]) -> str:
    """A mount can only be shared or a slave if the root is: libpod's addRootPropagation."""
    asked = {option for mount in mounts for option in mount["options"]}
    if asked & {"shared", "rshared"}:
        return "shared"
    return "rslave" if asked & {"slave", "rslave"} else ""
