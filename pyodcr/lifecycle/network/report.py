"""What `network ls` and `network inspect` show, by Podman's JSON keys."""

from __future__ import annotations

from collections.abc import Iterable

from pyodcr import jsonio
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.network.definitions import Network


def listed(network: Network) -> JsonObject:
    """An element of `network ls --format json`."""
    encoded: JsonObject = jsonio.encode(network)
    return encoded


def inspected(network: Network, containers: Iterable[Container]) -> JsonObject:
    """An element of `network inspect`: the definition, and who is attached with which addresses."""
    attached: JsonObject = {}
    for container in containers:
        status = (container.state.network_status or {}).get(network.name)
        if status is not None:
            attached[container.id] = {"name": container.name, "interfaces": status.get("interfaces", {})}
    return {**listed(network), "containers": attached}
