"""What a container got from its networks: netavark's answer, kept as libpod's ``network.status``.

    {NETWORK: {interfaces: {eth0: {subnets: [{ipnet: "10.89.0.4/16", gateway}], mac_address}},
               dns_server_ips: [...], dns_search_domains: [...]}}

It travels in archives, so it is read with suspicion: addresses and names are checked before use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from typing import Any

from pyodcr import jsonio
from pyodcr.jsonio import JsonInvalid, key
from pyodcr.lifecycle.models import NetworkOptions

MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\Z")
INTERFACE = re.compile(r"(?!\.\.?\Z)[^/:\s\x00]{1,15}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetAddress:
    ipnet: str = key("ipnet")
    gateway: str = key("gateway", "")

    @property
    def ip(self) -> str:
        return str(ip_interface(self.ipnet).ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetInterface:
    subnets: tuple[NetAddress, ...] = ()
    mac_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusBlock:
    interfaces: Mapping[str, NetInterface] = key("interfaces", factory=dict)
    dns_server_ips: tuple[str, ...] = ()
    dns_search_domains: tuple[str, ...] = ()


def parse(status: Mapping[str, Any] | None) -> Mapping[str, StatusBlock]:
    """Read and check; raises :class:`JsonInvalid`, which the caller maps to the domain of its source."""
    blocks = {name: jsonio.decode(StatusBlock, block, f'["{name}"]') for name, block in (status or {}).items()}
    for name, block in blocks.items():
        for interface, values in block.interfaces.items():
            if not INTERFACE.match(interface):
                raise JsonInvalid(f"the interface name {interface!r} of network {name} cannot be one")
            if values.mac_address and not MAC.match(values.mac_address):
                raise JsonInvalid(f"the MAC address {values.mac_address!r} of network {name} cannot be one")
        for address in _addresses(block):
            try:
                ip_interface(address.ipnet)
            except ValueError as error:
                raise JsonInvalid(f"the address {address.ipnet!r} of network {name} cannot be one") from error
    return blocks


def reuse(
    networks: Mapping[str, NetworkOptions],
    status: Mapping[str, Any] | None,
    *,
    ignore_static_ip: bool = False,
    ignore_static_mac: bool = False,
) -> Mapping[str, NetworkOptions]:
    """How a restored container joins its networks: interface name, address and MAC as when it was dumped.

    As libpod: what the status says replaces what was configured, for this one set-up; a network's first
    interface counts; each ``ignore_static_*`` drops its part, configured or dumped. Raises :class:`JsonInvalid`.
    """
    blocks = parse(status)
    joined = {}
    for name, options in networks.items():
        if ignore_static_ip:
            options = replace(options, static_ips=())
        if ignore_static_mac:
            options = replace(options, static_mac="")
        interface, values = next(iter(blocks.get(name, StatusBlock()).interfaces.items()), ("", None))
        if values is not None:
            options = replace(
                options,
                interface_name=interface,
                static_ips=() if ignore_static_ip else tuple(address.ip for address in values.subnets),
                static_mac="" if ignore_static_mac else values.mac_address,
            )
        joined[name] = options
    return joined


def _addresses(block: StatusBlock) -> Iterator[NetAddress]:
    for interface in block.interfaces.values():
        yield from interface.subnets


def ips(blocks: Mapping[str, StatusBlock]) -> tuple[str, ...]:
    return tuple(address.ip for block in blocks.values() for address in _addresses(block))


def has_ipv6(blocks: Mapping[str, StatusBlock]) -> bool:
    return any(":" in ip for ip in ips(blocks))


def gateway(blocks: Mapping[str, StatusBlock]) -> str:
    """Where the host is reached from inside: the first IPv4 gateway, else the first IPv6 one, else empty."""
    found = [address.gateway for block in blocks.values() for address in _addresses(block) if address.gateway]
    return next((address for address in found if ":" not in address), found[0] if found else "")


def nameservers(blocks: Mapping[str, StatusBlock]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(server for block in blocks.values() for server in block.dns_server_ips))


def search_domains(blocks: Mapping[str, StatusBlock]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(domain for block in blocks.values() for domain in block.dns_search_domains))
