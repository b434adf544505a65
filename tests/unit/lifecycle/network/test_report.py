from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState
from pyodcr.lifecycle.network.definitions import Network, Subnet
from pyodcr.lifecycle.network.report import inspected, listed

NETWORK = Network(
    name="n",
    id="ab" * 32,
    interface="pyodcr1",
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    subnets=(Subnet(subnet="10.1.0.0/24", gateway="10.1.0.1"),),
    ipam_options={"driver": "host-local"},
)
PODMANS = {
    "name": "n",
    "id": "ab" * 32,
    "driver": "bridge",
    "network_interface": "pyodcr1",
    "created": "2026-01-02T03:04:05Z",
    "subnets": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": False,
    "ipam_options": {"driver": "host-local"},
}


def container(name: str, status: dict[str, Any] | None) -> Container:
    return Container(ContainerConfig(id=name * 64, name=name), ContainerState(network_status=status))


def test_listed() -> None:
    assert listed(NETWORK) == PODMANS


def test_inspected_shows_who_is_attached() -> None:
    interfaces = {"eth0": {"subnets": [{"ipnet": "10.1.0.2/24"}], "mac_address": "02:00:00:00:00:01"}}
    containers = [
        container("a", {"n": {"interfaces": interfaces, "dns_server_ips": []}}),
        container("b", {"other": {}}),
        container("c", None),
    ]
    assert inspected(NETWORK, containers) == {
        **PODMANS,
        "containers": {"a" * 64: {"name": "a", "interfaces": interfaces}},
    }
