"""Which address and MAC a container gets. Pure: who holds what is handed in.

As libpod's netavark IPAM: one address for each subnet of the network, in the subnets' order (netavark
pairs them by place); the search goes on after the address given last, so that a freed one is not
handed to a stranger at once, while peers still have the old holder in their ARP tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from itertools import chain

from pyodcr.errors import Conflict, UsageError
from pyodcr.lifecycle.network import addresses
from pyodcr.lifecycle.network.addresses import Address, Block
from pyodcr.lifecycle.network.definitions import Network, Subnet


def allocate(
    network: Network, *, wanted: Sequence[str], taken: Mapping[str, str], last: Mapping[str, str]
) -> tuple[str, ...]:
    """An address in each subnet: the one wanted there, else the next free one.

    ``taken`` maps addresses of this network to the containers that hold them, ``last`` a subnet to
    the address it gave last. Raises :class:`Conflict` where one is taken or none is left.
    """
    if network.ipam_options.get("driver", "host-local") != "host-local":
        return ()
    asked = [addresses.parse_address(text, "static ip") for text in wanted]
    blocks = [addresses.parse_block(subnet.subnet) for subnet in network.subnets]
    for address in asked:
        if not any(addresses.contains(block, address) for block in blocks):
            raise UsageError(
                f"requested static ip {address} not in any subnet on network {network.name}",
                code="address-not-in-network",
                hint=f"it has {', '.join(map(str, blocks))}; on restore, --ignore-static-ip takes any free address",
            )
    return tuple(
        _in_subnet(subnet, block, [address for address in asked if addresses.contains(block, address)], taken, last)
        for subnet, block in zip(network.subnets, blocks, strict=True)
    )


def _in_subnet(
    subnet: Subnet, block: Block, asked: Sequence[Address], taken: Mapping[str, str], last: Mapping[str, str]
) -> str:
    if not asked:
        return str(_next_free(subnet, block, taken, last.get(subnet.subnet, "")))
    address = str(asked[0])
    if address in taken:
        raise Conflict(
            f"requested ip address {address} is already allocated to container ID {taken[address]}",
            code="address-in-use",
            address=address,
            container=taken[address],
        )
    if address == subnet.gateway:
        raise Conflict(f"requested ip address {address} is the gateway of its network", code="address-in-use")
    return address


def _next_free(subnet: Subnet, block: Block, taken: Mapping[str, str], last: str) -> Address:
    first, end = _bounds(subnet, block)
    start = first
    if last and first <= int(ip_address(last)) < end:
        start = int(ip_address(last)) + 1
    kind = type(block[0])
    for number in chain(range(start, end + 1), range(first, start)):  # lazy: a /64 is never walked
        address = kind(number)
        if str(address) != subnet.gateway and str(address) not in taken:
            return address
    raise Conflict(
        f"failed to find free IP in range: {kind(first)} - {kind(end)}", code="address-in-use", subnet=subnet.subnet
    )


def _bounds(subnet: Subnet, block: Block) -> tuple[int, int]:
    """The lowest and highest address to hand out: never the network's own, nor IPv4's broadcast."""
    first = int(block[1])
    end = int(block[-1]) - (1 if block.version == 4 else 0)
    if subnet.lease_range is not None:
        if subnet.lease_range.start:
            first = max(first, int(ip_address(subnet.lease_range.start)))
        if subnet.lease_range.end:
            end = min(end, int(ip_address(subnet.lease_range.end)))
    return first, end


def random_mac(random: Callable[[int], bytes] = os.urandom) -> str:
    """A unicast address of nobody's making (IEEE 802: locally administered)."""
    octets = bytearray(random(6))
    octets[0] = (octets[0] & 0xFE) | 0x02
    return ":".join(f"{octet:02x}" for octet in octets)
