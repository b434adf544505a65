"""`--device`, and the devices of the host that a privileged container gets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject

DENY_ALL: JsonObject = {"allow": False, "access": "rwm"}
ALLOW_ALL: JsonObject = {"allow": True, "access": "rwm"}

# not of the host: the container has its own of these (runc libcontainer/devices, Podman AddPrivilegedDevices)
_OWN_DIRECTORIES = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"})
_KINDS = {stat.S_IFBLK: "b", stat.S_IFCHR: "c", stat.S_IFIFO: "p"}


@dataclass(frozen=True, slots=True)
class Device:
    """A device node as the OCI spec has it, and the cgroup rule that lets the container use it."""

    node: JsonObject
    rule: JsonObject


def parse(text: str) -> Device:
    """``PATH[:PATH IN THE CONTAINER][:PERMISSIONS]``, permissions being some of r, w and m(knod)."""
    source, destination, access = _split(text)
    real = Path(source).resolve()
    try:
        info = real.stat()
    except OSError as error:
        raise UsageError(f"stat {source}: {str(error.strerror).lower()}") from error
    if stat.S_ISDIR(info.st_mode):
        raise UsageError(f"{source} is a directory, not a device", hint="give each device in it by its own --device")
    node = _node(destination, info)
    if node is None:
        raise UsageError(f"{source} is not a valid device: not a device node")
    rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": access}
    return Device(node, rule)


def of_host(directory: Path = Path("/dev")) -> list[JsonObject]:
    """Every device node below /dev, by path; what is only linked there, and the console, is left out."""
    return sorted(_below(directory), key=lambda node: str(node["path"]))


def _below(directory: Path) -> Iterator[JsonObject]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # devices come and go
            if stat.S_ISDIR(info.st_mode):
                if entry.name not in _OWN_DIRECTORIES:
                    yield from _below(Path(entry.path))
            elif entry.name != "console":
                node = _node(entry.path, info)
                if node is not None:
                    yield node


def _split(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    source, rest = parts[0], parts[1:]
    if not source or len(rest) > 2:
        raise UsageError(f"invalid device specification: {text}", hint="PATH[:PATH][:rwm]")
    destination, access = source, "rwm"
    if len(rest) == 2:
        destination, access = rest
    elif rest and rest[0].startswith("/"):
        destination = rest[0]
    elif rest:
        access = rest[0]
    if not access or set(access) - set("rwm") or len(set(access)) != len(access):
        raise UsageError(f"invalid device mode: {access}", hint="some of r, w and m")
    if not destination.startswith("/"):
        raise UsageError(f"invalid device specification: {text}", hint="the path in the container must be absolute")
    return source, destination, access


def _node(path: str, info: os.stat_result) -> JsonObject | None:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode))
    if kind is None:
        return None
    return {
        "path": path,
        "type": kind,
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }
