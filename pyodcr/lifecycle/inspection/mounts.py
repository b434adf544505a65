"""``Mounts``, and the same as the ``Binds`` and ``Tmpfs`` of ``HostConfig``: what image and user wanted mounted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import ContainerConfig

PROPAGATIONS = frozenset(
    {"shared", "slave", "private", "rshared", "rslave", "rprivate", "unbindable", "runbindable"},
)


def describe(config: ContainerConfig, mountpoints: Mapping[str, Path]) -> list[JsonObject]:
    """``mountpoints`` are those of named volumes that exist. As in Podman, tmpfs mounts are not among them."""
    return [
        *(
            _mount("volume", str(mountpoints.get(volume.name, "")), volume.dest, volume.options)
            | {"Name": volume.name, "Driver": "local", "SubPath": volume.sub_path}
            for volume in config.named_volumes
        ),
        *(_mount("bind", volume.source, volume.dest, (*volume.options, "O")) for volume in config.overlay_volumes),
        *(
            _mount("bind", str(mount.get("source", "")), str(mount["destination"]), mount.get("options") or ())
            for mount in asked(config)
            if mount.get("type") != "tmpfs"
        ),
    ]


def asked(config: ContainerConfig) -> Iterator[Mapping[str, Any]]:
    """The mounts of the spec that are not every container's."""
    for mount in config.spec.get("mounts") or ():
        if mount.get("destination") in config.user_volumes:
            yield mount


def binds(config: ContainerConfig) -> list[str]:
    """``SOURCE:DESTINATION:OPTIONS``."""
    parts = [
        *((volume.name, volume.dest, volume.options) for volume in config.named_volumes),
        *((volume.source, volume.dest, (*volume.options, "O")) for volume in config.overlay_volumes),
        *(
            (mount.get("source", ""), mount["destination"], mount.get("options") or ())
            for mount in asked(config)
            if mount.get("type") != "tmpfs"
        ),
    ]
    return [f"{source}:{target}:{_written(options)}" for source, target, options in parts]


def _written(options: Sequence[str]) -> str:
    return ",".join(options if {"ro", "rw"}.intersection(options) else ("rw", *options))


def tmpfs(config: ContainerConfig) -> dict[str, str]:
    return {
        mount["destination"]: _written(mount.get("options") or ())
        for mount in asked(config)
        if mount.get("type") == "tmpfs"
    }


def _mount(kind: str, source: str, destination: str, options: Sequence[str]) -> JsonObject:
    own = PROPAGATIONS | {"ro", "rw", "z", "Z"}
    return {
        "Type": kind,
        "Name": "",
        "Source": source,
        "Destination": destination,
        "Driver": "",
        "Mode": next((option for option in options if option in ("z", "Z")), ""),
        "Options": [option for option in dict.fromkeys(options) if option not in own],
        "RW": "ro" not in options,
        "Propagation": next((option for option in reversed(options) if option in PROPAGATIONS), ""),
        "SubPath": "",
    }
