"""What a network is: Podman's and netavark's JSON, one file a network, and what may be asked of a new one.

    NAME.json  {name id driver network_interface created subnets[{subnet gateway lease_range{start_ip end_ip}}]
                ipv6_enabled internal dns_enabled network_dns_servers labels options ipam_options, ...}

The same object is an element of `podman network ls --format json`, the body of `network inspect`, and
an entry of ``network_info`` on netavark's standard input. Keys we do not know (``routes``) stay in ``extra``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyodcr.jsonio import key


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRange:
    """The addresses that may be handed out, both ends included."""

    start: str = key("start_ip", "")
    end: str = key("end_ip", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    subnet: str = key("subnet")
    gateway: str = key("gateway", "")
    lease_range: LeaseRange | None = key("lease_range", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    name: str = key("name", keep=True)
    id: str = key("id", keep=True)
    driver: str = key("driver", "bridge", keep=True)
    interface: str = key("network_interface", "")
    created_at: datetime | None = key("created", None, keep=True)
    subnets: tuple[Subnet, ...] = key("subnets", ())
    ipv6_enabled: bool = key("ipv6_enabled", False, keep=True)
    internal: bool = key("internal", False, keep=True)
    dns_enabled: bool = key("dns_enabled", False, keep=True)
    dns_servers: tuple[str, ...] = key("network_dns_servers", ())
    labels: Mapping[str, str] = key("labels", factory=dict)
    options: Mapping[str, str] = key("options", factory=dict)
    ipam_options: Mapping[str, str] = key("ipam_options", factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNetwork:
    """One field per flag of `podman network create`; gateways and ranges belong to the subnet of the same place."""

    name: str = ""  # empty: a free one is chosen
    driver: str = "bridge"
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    ipv6: bool = False
    internal: bool = False
    disable_dns: bool = False
    dns_servers: tuple[str, ...] = ()
    interface_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    ignore_existing: bool = False
