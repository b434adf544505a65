"""Annotations of the spec: the user's, and those by which Podman's tools (and ours) know what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyodcr.errors import UsageError

if TYPE_CHECKING:
    from pyodcr.lifecycle.options import CreateOptions
    from pyodcr.lifecycle.spec.security import Security

ANNOTATION = "io.podman.annotations"
# Names a file whose action-script CRIU runs as root. The runtimes obey it, so it is ours alone.
CRIU_CONFIG = "org.criu.config"
MANAGER = "io.container.manager"  # libpod: how readers of an archive tell whose format it has
STOP_SIGNAL = "org.opencontainers.image.stopSignal"


def build(options: CreateOptions, security: Security, stop_signal: int) -> dict[str, str]:
    found = dict(_parse(text) for text in options.annotations)
    found |= security.annotations
    told = {
        "autoremove": "TRUE" if options.rm else "",
        "privileged": "TRUE" if options.privileged else "",
        "publish-all": "TRUE" if options.publish_all else "",
        "volumes-from": ";".join(options.volumes_from),
        "userns": options.userns,
        "pids-limit": "" if options.pids_limit is None else str(options.pids_limit),
        "cpuset": options.cpuset_cpus,
        "memory-nodes": options.cpuset_mems,
    }
    found |= {f"{ANNOTATION}.{name}": value for name, value in told.items() if value}
    return found | {MANAGER: "libpod", STOP_SIGNAL: str(stop_signal)}


def _parse(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f'annotations must be formatted KEY=VALUE, not "{text}"')
    if name == CRIU_CONFIG:
        raise UsageError(
            f"the annotation {CRIU_CONFIG} cannot be set",
            hint="it leads CRIU to the engine's own hook; put settings of yours into /etc/criu/runc.conf",
        )
    return name, value
