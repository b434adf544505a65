"""``NetworkSettings``: what the container got from its networks, and its ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_interface
from typing import Any

from pyodcr.jsonio import JsonInvalid, JsonObject, Table
from pyodcr.lifecycle.models import Container, ContainerConfig, PortMapping
from pyodcr.lifecycle.network import status
from pyodcr.lifecycle.network.mode import Kind, mode_of
from pyodcr.lifecycle.network.status import StatusBlock


def describe(container: Container, network_id: Callable[[str], str]) -> JsonObject:
    """Of a container that shares another's namespace, Podman shows the other's: give that one."""
    config, state = container.config, container.state
    blocks: Mapping[str, StatusBlock] = {}
    with suppress(JsonInvalid):  # an archive's: shown as if the network were down
        blocks = status.parse(state.network_status)
    networks = {
        name: _joined(network_id(name), blocks.get(name, StatusBlock()), options.aliases)
        for name, options in config.networks.items()
    }
    mode = str(mode_of(config))
    # with one network its addresses are the container's; Podman does so for the default network alone
    own = blocks.get(next(iter(config.networks), ""), StatusBlock()) if len(config.networks) == 1 else StatusBlock()
    return {
        **_addresses(own),
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": Table(_ports(config)),
        "SandboxKey": state.netns,
        "Networks": Table(networks or {mode: _joined(mode, own, ())}),
    }


def _joined(network_id: str, block: StatusBlock, aliases: Sequence[str]) -> JsonObject:
    return {
        **_addresses(block),
        "NetworkID": network_id,
        "DriverOpts": None,
        "IPAMConfig": None,
        "Links": None,
        "Aliases": list(aliases),
    }


def _addresses(block: StatusBlock) -> JsonObject:
    found: dict[int, list[tuple[str, int, str]]] = {4: [], 6: []}
    macs = []
    for _, interface in sorted(block.interfaces.items()):
        macs.append(interface.mac_address)
        for address in interface.subnets:
            parsed = ip_interface(address.ipnet)
            found[parsed.version].append((str(parsed.ip), parsed.network.prefixlen, address.gateway))
    nothing = [("", 0, "")]
    (ip4, length4, gateway4), *others4 = found[4] or nothing
    (ip6, length6, gateway6), *others6 = found[6] or nothing
    return {
        "EndpointID": "",
        "Gateway": gateway4,
        "IPAddress": ip4,
        "IPPrefixLen": length4,
        "SecondaryIPAddresses": [{"Addr": ip, "PrefixLength": length} for ip, length, _ in others4],
        "IPv6Gateway": gateway6,
        "GlobalIPv6Address": ip6,
        "GlobalIPv6PrefixLen": length6,
        "SecondaryIPv6Addresses": [{"Addr": ip, "PrefixLength": length} for ip, length, _ in others6],
        "MacAddress": macs[0] if macs else "",
        "AdditionalMACAddresses": macs[1:],
    }


def _ports(config: ContainerConfig) -> dict[str, Any]:
    found: dict[str, Any] = bindings(config.ports)
    if mode_of(config).kind not in (Kind.HOST, Kind.CONTAINER):
        for port, protocols in config.exposed_ports.items():
            for protocol in protocols:
                found.setdefault(f"{port}/{protocol}", None)
    return found


def bindings(ports: tuple[PortMapping, ...]) -> dict[str, list[JsonObject]]:
    """``80/tcp`` -> where it is published."""
    found: dict[str, list[JsonObject]] = {}
    for mapping in ports:
        for protocol in mapping.protocol.split(","):
            for index in range(mapping.range):
                found.setdefault(f"{mapping.container_port + index}/{protocol}", []).append(
                    {"HostIp": mapping.host_ip or "0.0.0.0", "HostPort": str(mapping.host_port + index)}
                )
    return found
