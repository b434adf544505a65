"""What `network ls` and `network inspect` show, by Podman's JSON keys."""

from __future__ import annotations

from collections.abc import Iterable

from pyodcr import jsonio
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.network.definitions import Network


def listed(network: Network, *, whole: bool = False) -> JsonObject:
    """An element of `network ls --format json`; ``whole``: with the fields that are empty, for templates."""
    encoded: JsonObject = jsonio.encode(network, whole=whole)
    return encoded


def inspected(network: Network, containers: Iterable[Container], *, whole: bool = False) -> JsonObject:
    """An element of `network inspect`: the definition, and who is attached with which addresses."""
    attached = jsonio.Table()
    for container in containers:
        status = (container.state.network_status or {}).get(network.name)
        if status is not None:
            attached[container.id] = {"name": container.name, "interfaces": status.get("interfaces", {})}
    return {**listed(network, whole=whole), "containers": attached}
