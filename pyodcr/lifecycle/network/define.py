"""From what was asked to a whole network definition: one decision, on what is known of the host.

Rules and refusals are those of Podman's libnetwork (netavark/config.go, internal/util).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from pyodcr.errors import Conflict, UsageError
from pyodcr.lifecycle.network import addresses
from pyodcr.lifecycle.network.addresses import Block
from pyodcr.lifecycle.network.definitions import Network, NewNetwork, Subnet

BRIDGE_PREFIX = "pyodcr"
MODES = frozenset({"none", "host", "bridge", "private", "slirp4netns", "pasta", "container", "ns", "default"})
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
NAME_RULE = "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*"
INTERFACE_NAME_CHARS = 15  # IFNAMSIZ without its NUL
NAME_CHARS = 200  # it becomes a file name


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """What the host's own network already uses."""

    interfaces: frozenset[str] = frozenset()
    addresses: tuple[Block, ...] = ()  # subnets of its interfaces
    routes: tuple[Block, ...] = ()


def define(
    asked: NewNetwork, *, network_id: str, created_at: datetime, others: Collection[Network], host: HostUse
) -> Network:
    """The definition of a new network; raises :class:`UsageError` or :class:`Conflict`."""
    if asked.driver != "bridge":
        raise UsageError(f'failed to find driver or plugin "{asked.driver}"', hint="the only driver is bridge")
    options, interface = _options(asked)
    name = asked.name or _free_name(others, host)
    _require_name(name, others)
    shared = options.get("mode") == "unmanaged" or "vlan" in options  # several networks on one bridge
    interface = _interface(interface, others, shared=shared) or (_free_name(others, host) if asked.name else name)
    configured = [addresses.parse_block(subnet.subnet) for other in others for subnet in other.subnets]
    used = () if shared else (*configured, *host.addresses)
    with_gateway = not asked.internal or not asked.disable_dns
    subnets = [addresses.checked(subnet, used, with_gateway=with_gateway) for subnet in _asked_subnets(asked)]
    _require_apart(subnets)
    for chosen in _missing(asked, subnets, (*configured, *host.addresses, *host.routes)):
        subnets.append(addresses.checked(Subnet(subnet=str(chosen)), (), with_gateway=with_gateway))
    if asked.dns_servers and asked.disable_dns:
        raise UsageError("cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument")
    return Network(
        name=name,
        id=network_id,
        interface=interface,
        created_at=created_at,
        subnets=tuple(subnets),
        ipv6_enabled=asked.ipv6 or any(addresses.parse_block(subnet.subnet).version == 6 for subnet in subnets),
        internal=asked.internal,
        dns_enabled=not asked.disable_dns,
        dns_servers=tuple(str(addresses.parse_address(server, "dns server")) for server in asked.dns_servers),
        labels=asked.labels,
        options=options,
        ipam_options={"driver": "host-local"},
    )


def _require_name(name: str, others: Collection[Network]) -> None:
    if not NAME.match(name) or len(name) > NAME_CHARS:
        raise UsageError(f"network name {name} invalid: {NAME_RULE}: invalid argument")
    if name in MODES:
        raise UsageError(f'cannot create network with name "{name}" because it conflicts with a valid network mode')
    if any(other.name == name for other in others):
        raise Conflict(f"network name {name} already used: network already exists", code="name-taken", name=name)


def _free_name(others: Collection[Network], host: HostUse) -> str:
    taken = {other.name for other in others} | {other.interface for other in others} | host.interfaces
    return next(name for number in count(1) if (name := f"{BRIDGE_PREFIX}{number}") not in taken)


def _interface(name: str, others: Collection[Network], *, shared: bool) -> str:
    if not name:
        return ""
    if not shared and any(other.interface == name for other in others):
        raise Conflict(f"bridge name {name} already in use", code="name-taken", name=name)
    if len(name) > INTERFACE_NAME_CHARS:
        raise UsageError(
            f"network interface name {name} invalid: interface name is too long: "
            f"interface names must be {INTERFACE_NAME_CHARS} characters or less: invalid argument"
        )
    if not NAME.match(name):
        raise UsageError(f"bridge name {name} invalid: {NAME_RULE}: invalid argument")
    return name


def _asked_subnets(asked: NewNetwork) -> list[Subnet]:
    if not asked.subnets and (asked.gateways or asked.ip_ranges):
        raise UsageError("cannot set gateway or range without subnet")
    if len(asked.gateways) > len(asked.subnets):
        raise UsageError("cannot set more gateways than subnets")
    if len(asked.ip_ranges) > len(asked.subnets):
        raise UsageError("cannot set more ranges than subnets")
    subnets = [Subnet(subnet=text) for text in asked.subnets]
    for index, gateway in enumerate(asked.gateways):
        subnets[index] = replace(subnets[index], gateway=gateway)
    for index, text in enumerate(asked.ip_ranges):
        subnets[index] = replace(subnets[index], lease_range=addresses.parse_range(text))
    return subnets


def _require_apart(subnets: list[Subnet]) -> None:
    seen: list[Block] = []
    for subnet in subnets:
        block = addresses.parse_block(subnet.subnet)
        if addresses.overlaps(block, seen):
            raise UsageError(f"subnet {block} overlaps another subnet of the same network")
        seen.append(block)


def _missing(asked: NewNetwork, subnets: list[Subnet], used: tuple[Block, ...]) -> list[Block]:
    """The subnets to be chosen: one of IPv4 where none was asked for, and one of each family with --ipv6."""
    versions = {addresses.parse_block(subnet.subnet).version for subnet in subnets}
    chosen: list[Block] = []
    if not subnets or (asked.ipv6 and 4 not in versions):
        chosen.append(addresses.free_ipv4(used))
    if asked.ipv6 and 6 not in versions:
        chosen.append(addresses.free_ipv6(used))
    return chosen


def _options(asked: NewNetwork) -> tuple[Mapping[str, str], str]:
    """The driver options as netavark reads them, and the bridge's name if one was given."""
    options, interface = dict(asked.options), asked.interface_name
    if "com.docker.network.driver.mtu" in options:
        options["mtu"] = options.pop("com.docker.network.driver.mtu")
    if "com.docker.network.bridge.name" in options:
        interface = options.pop("com.docker.network.bridge.name")
    for name, value in options.items():
        if name not in _OPTIONS:
            raise UsageError(f"unsupported bridge network option {name}", hint=f"options: {', '.join(_OPTIONS)}")
        options[name] = _OPTIONS[name](name, value)
    return options, interface


def _number(limit: int) -> Callable[[str, str], str]:
    def check(name: str, value: str) -> str:
        if not (value.isascii() and value.isdigit() and int(value) <= limit):
            raise UsageError(f"network option {name} must be a number from 0 to {limit}, not {value!r}")
        return value

    return check


def _boolean(name: str, value: str) -> str:
    """netavark reads "true" and "false" only; Podman takes all that Go's strconv.ParseBool does."""
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return "true"
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return "false"
    raise UsageError(f"network option {name} must be true or false, not {value!r}")


def _isolate(name: str, value: str) -> str:
    return value if value == "strict" else _boolean(name, value or "false")


def _mode(name: str, value: str) -> str:
    if value not in ("managed", "unmanaged"):
        raise UsageError(f'unknown bridge mode "{value}"', hint=f"{name} is managed or unmanaged")
    return value


def _vrf(_name: str, value: str) -> str:
    if not value:
        raise UsageError("invalid vrf name")
    return value


_OPTIONS: Mapping[str, Callable[[str, str], str]] = {
    "mtu": _number(65535),
    "vlan": _number(4094),
    "metric": _number(2**32 - 1),
    "isolate": _isolate,
    "no_default_route": _boolean,
    "mode": _mode,
    "vrf": _vrf,
}
