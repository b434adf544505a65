"""What the container of an archive would use of the host beyond itself: told, and allowed by ``--trust`` alone.

The archive names it, and an archive may come from anybody: a bind of /etc, a root filesystem that is the host's own,
the host's network are what the container it was made from had there, and take over the host here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.spec import allowlist

NAMESPACES = ("network", "pid", "ipc", "uts")


@dataclass(frozen=True, slots=True)
class Reach:
    """``sources``: destination -> path of this host, of binds and of the lower sides of overlays."""

    rootfs: str
    sources: Mapping[str, str]
    namespaces: tuple[str, ...]
    privileged: bool

    def lines(self) -> tuple[str, ...]:
        """A clause for each, with the container for its subject."""
        found = [f"has {self.rootfs} of this host for its root filesystem"] if self.rootfs else []
        found += [f"has {source} of this host mounted on {place}" for place, source in self.sources.items()]
        found += [f"is in the {kind} namespace of this host" for kind in self.namespaces]
        if self.privileged:
            found.append("is privileged: it can do anything to this host")
        return tuple(found)


def of(config: ContainerConfig, spec: Mapping[str, Any]) -> Reach:
    """``spec`` is the archive's own, not yet rebuilt."""
    volumes = {volume.dest for volume in config.named_volumes}
    sources = {volume.dest: volume.source for volume in config.overlay_volumes}
    for destination, source in allowlist.bind_mounts(spec).items():
        # libpod generates /etc/passwd and /etc/group below the source host's own directory
        generated = config.static_dir and source.startswith(f"{config.static_dir}/")
        if destination not in volumes and not generated:
            sources.setdefault(destination, source)
    own = allowlist.own_namespaces(spec)
    return Reach(
        rootfs=config.rootfs,
        sources=sources,
        namespaces=tuple(
            kind for kind in NAMESPACES if kind not in own and (kind != "network" or config.network_mode == "host")
        ),
        privileged=config.privileged,
    )


def require_trust(name: str, reach: Reach, *, trusted: bool) -> None:
    """Refuse what reaches out of its container, unless whoever imports it has said that they know the archive."""
    lines = reach.lines()
    if lines and not trusted:
        raise UsageError(
            f"container {name} of the archive reaches out to this host: it {', it '.join(lines)}",
            code="archive-reaches-out",
            hint="if the archive is your own, --trust takes that over",
        )
