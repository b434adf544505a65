"""``Config``: what runs in the container, as it was asked for."""

from __future__ import annotations

from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network.mode import hostname_of
from pyodcr.lifecycle.spec import signals


def describe(config: ContainerConfig, spec: JsonObject) -> JsonObject:
    process = spec.get("process") or {}
    return {
        "Hostname": hostname_of(config),
        "Domainname": "",
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": False,
        "Env": list(process.get("env") or ()),
        "Cmd": list(config.command),
        "Image": config.image_name,
        "Volumes": None,
        "WorkingDir": process.get("cwd", ""),
        "Entrypoint": list(config.entrypoint),
        "OnBuild": None,
        "Labels": Table(config.labels),
        "Annotations": Table(spec.get("annotations") or {}),
        "StopSignal": signals.name(config.stop_signal),
        "CreateCommand": list(config.create_command),
        "Timezone": config.timezone,
        "Umask": config.umask.rjust(4, "0"),
        "Timeout": 0,
        "StopTimeout": config.stop_timeout_s,
        "ExposedPorts": Table({port: {} for port in _exposed(config)}),
    }


def _exposed(config: ContainerConfig) -> list[str]:
    """``80/tcp``: exposed by the image or by flag, or published."""
    exposed = [f"{port}/{protocol}" for port, protocols in config.exposed_ports.items() for protocol in protocols]
    published = [
        f"{mapping.container_port + index}/{mapping.protocol}"
        for mapping in config.ports
        for index in range(mapping.range)
    ]
    return list(dict.fromkeys([*exposed, *published]))
