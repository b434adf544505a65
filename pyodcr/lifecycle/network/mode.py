"""Which network namespace a container lives in, read off its configuration as libpod's NetworkMode() does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pyodcr.lifecycle.models import ContainerConfig


class Kind(StrEnum):
    BRIDGE = "bridge"  # its own, on zero or more networks
    NONE = "none"  # its own, with a loopback only
    HOST = "host"
    CONTAINER = "container"  # another container's
    PATH = "ns"  # somebody's, at a path


@dataclass(frozen=True, slots=True)
class Mode:
    kind: Kind
    target: str = ""  # the other container's ID, or the path

    @property
    def is_own(self) -> bool:
        """Whether the namespace is made, and removed, by us for this container alone."""
        return self.kind in (Kind.BRIDGE, Kind.NONE)

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else str(self.kind)


def mode_of(container: ContainerConfig) -> Mode:
    if container.own_netns:
        return Mode(Kind.NONE if container.network_mode == Kind.NONE else Kind.BRIDGE)
    if container.net_container:
        return Mode(Kind.CONTAINER, container.net_container)
    namespace = _namespace(container.spec, "network")
    if namespace is None:
        return Mode(Kind.HOST)
    path = namespace.get("path", "")
    return Mode(Kind.PATH, path) if path else Mode(Kind.NONE)


def hostname_of(container: ContainerConfig) -> str:
    """What gethostname(2) will say inside."""
    if _namespace(container.spec, "uts") is None and not container.uts_container:
        return os.uname().nodename
    return container.spec.get("hostname") or container.short_id


def _namespace(spec: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    namespaces = spec.get("linux", {}).get("namespaces", ())
    return next((namespace for namespace in namespaces if namespace.get("type") == kind), None)
