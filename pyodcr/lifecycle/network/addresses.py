"""Subnets and addresses as pure values: read, compared, chosen.

The texts of refusals are Podman's (libnetwork), so scripts that know them go on working.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from pyodcr.errors import Conflict, UsageError
from pyodcr.lifecycle.network.definitions import LeaseRange, Subnet

Address: TypeAlias = IPv4Address | IPv6Address
Block: TypeAlias = IPv4Network | IPv6Network

# Where new networks get their /24 from. Podman's own pools begin at 10.89.0.0, so the first one is left to it;
# the last two serve hosts that route all of 10.0.0.0/8 into a VPN.
POOLS = ("10.90.0.0/15", "10.92.0.0/14", "10.96.0.0/11", "10.128.0.0/9", "172.20.0.0/14", "192.168.128.0/17")
POOL_PREFIX = 24
IPV6_TRIES = 1000


def parse_block(text: str) -> Block:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise UsageError(f"invalid CIDR address: {text}") from error


def parse_address(text: str, what: str = "address") -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise UsageError(f"invalid {what}: {text!r} is not an IP address") from error


def contains(block: Block, address: Address) -> bool:
    return address.version == block.version and address in block


def overlaps(block: Block, others: Iterable[Block]) -> bool:
    return any(block.version == other.version and block.overlaps(other) for other in others)


def parse_range(text: str) -> LeaseRange:
    """``START-END``, or a CIDR: all its addresses but the first, as Podman reads it."""
    start, dash, end = text.partition("-")
    if dash:
        return LeaseRange(
            start=str(parse_address(start, "range start ip")), end=str(parse_address(end, "range end ip"))
        )
    block = parse_block(text)
    return LeaseRange(start=str(block[1] if block.num_addresses > 1 else block[0]), end=str(block[-1]))


def checked(subnet: Subnet, used: Iterable[Block], *, with_gateway: bool) -> Subnet:
    """The subnet with its address normalised and its gateway filled in, or why it cannot be."""
    block = parse_block(subnet.subnet)
    if overlaps(block, used):
        raise Conflict(f"subnet {block} is already used on the host or by another config", code="subnet-in-use")
    if block.num_addresses < 4:
        raise UsageError(f"subnet {block} is too small for a gateway and a container")
    gateway = subnet.gateway
    if gateway:
        gateway = _within(gateway, block, "gateway")
    elif with_gateway:
        gateway = str(block[1])
    leases = subnet.lease_range
    if leases is not None:
        leases = LeaseRange(
            start=_within(leases.start, block, "lease range start ip") if leases.start else "",
            end=_within(leases.end, block, "lease range end ip") if leases.end else "",
        )
    return Subnet(subnet=str(block), gateway=gateway, lease_range=leases)


def _within(text: str, block: Block, what: str) -> str:
    address = parse_address(text, what)
    if not contains(block, address):
        raise UsageError(f"{what} {address} not in subnet {block}")
    return str(address)


def free_ipv4(used: Iterable[Block]) -> Block:
    """The first /24 of the pools that nothing uses."""
    taken = [block for block in used if block.version == 4]
    for block in _pooled():
        if not overlaps(block, taken):
            return block
    raise Conflict(
        "could not find free subnet from subnet pools", code="subnet-in-use", hint="choose one with --subnet"
    )


def _pooled() -> Iterator[IPv4Network]:
    for pool in POOLS:
        yield from IPv4Network(pool).subnets(new_prefix=POOL_PREFIX)


def free_ipv6(used: Iterable[Block], random: Callable[[int], bytes] = os.urandom) -> Block:
    """A random unique local /64 (RFC 4193: chosen at random, never in order)."""
    taken = [block for block in used if block.version == 6]
    for _ in range(IPV6_TRIES):
        block = IPv6Network((b"\xfd" + random(7) + bytes(8), 64))
        if not overlaps(block, taken):
            return block
    raise Conflict("failed to get random ipv6 subnet", code="subnet-in-use", hint="choose one with --subnet")
