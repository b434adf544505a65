"""Which namespaces a container has for itself, shares with the host, with another container, or with a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pyodcr.errors import Unsupported, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.facts import Host


class Mode(StrEnum):
    """By the words a user types."""

    PRIVATE = "private"
    SHAREABLE = "shareable"  # ipc: private, but others may join
    NONE = "none"  # ipc: private without a /dev/shm; network: nothing but lo
    BRIDGE = "bridge"  # network
    HOST = "host"
    CONTAINER = "container"
    PATH = "ns"


@dataclass(frozen=True, slots=True)
class Namespace:
    mode: Mode
    path: str = ""  # of Mode.PATH
    container: ContainerConfig | None = None  # of Mode.CONTAINER

    @property
    def container_id(self) -> str:
        return self.container.id if self.container else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespaces:
    pid: Namespace
    ipc: Namespace
    uts: Namespace
    cgroup: Namespace


def parse(options: CreateOptions, host: Host) -> Namespaces:
    if options.userns not in ("", "host"):
        raise Unsupported(
            f"user namespaces are not supported (--userns {options.userns})",
            hint="CRIU cannot restore a container of a runtime in one; leave --userns out",
        )
    # on cgroup v1 a private one would hide the controllers' own mounts; Podman's default there is host, too
    cgroup = options.cgroupns or ("private" if host.kernel.cgroup_version == 2 else "host")
    return Namespaces(
        pid=parse_mode("PID", options.pid or "private", host.resolve),
        ipc=_parse_ipc(options.ipc or "shareable", host.resolve),
        uts=parse_mode("UTS", options.uts or "private", host.resolve),
        cgroup=parse_mode("cgroup", cgroup, host.resolve),
    )


def parse_mode(title: str, text: str, resolve: Callable[[str], ContainerConfig]) -> Namespace:
    """``private``, ``host``, ``container:NAME`` or ``ns:PATH``; ``title`` names the kind in messages."""
    kind, colon, value = text.partition(":")
    if kind in ("container", "ns") and colon and not value:
        raise UsageError(f"namespace mode {kind} requires a value")
    if kind == "container" and colon:
        return Namespace(Mode.CONTAINER, container=resolve(value))
    if kind == "ns" and colon:
        if not Path(value).exists():
            raise UsageError(f"cannot find specified {title} namespace path: {value} does not exist")
        return Namespace(Mode.PATH, path=value)
    if text in ("private", "host"):
        return Namespace(Mode(text))
    raise UsageError(
        f"unrecognized namespace mode {text} passed", hint=f"{title}: private, host, container:NAME or ns:PATH"
    )


def _parse_ipc(text: str, resolve: Callable[[str], ContainerConfig]) -> Namespace:
    if text in ("shareable", "none"):
        return Namespace(Mode(text))
    found = parse_mode("IPC", text, resolve)
    if found.container is not None and found.container.extra.get("NOShmShare"):
        raise UsageError(
            f"joining IPC of container {found.container_id} is not allowed: non-shareable IPC",
            hint="create that container with --ipc shareable",
        )
    return found


def entries(kinds: Mapping[str, Namespace]) -> list[JsonObject]:
    """The OCI ``linux.namespaces``; paths of other containers are put in when the container starts."""
    found: list[JsonObject] = [{"type": "mount"}]
    for kind, namespace in kinds.items():
        if namespace.mode is Mode.PATH:
            found.append({"type": kind, "path": namespace.path})
        elif namespace.mode is not Mode.HOST:
            found.append({"type": kind})
    return found
