"""What the host's own network uses at this moment: interface names, addresses, routes."""

from __future__ import annotations

import json
from typing import Any

from pyodcr import process
from pyodcr.errors import NetworkFailed
from pyodcr.lifecycle.network import addresses
from pyodcr.lifecycle.network.addresses import Block
from pyodcr.lifecycle.network.define import HostUse


def observe() -> HostUse:
    import socket

    return HostUse(
        interfaces=frozenset(name for _, name in socket.if_nameindex()),
        addresses=tuple(
            addresses.parse_block(f"{info['local']}/{info['prefixlen']}")
            for link in _ip("address")
            for info in link.get("addr_info", ())
            if "local" in info
        ),
        routes=(*_routes("-4"), *_routes("-6")),
    )


def _routes(family: str) -> tuple[Block, ...]:
    """Where packets go otherwise; the default route is everybody's and says nothing."""
    found = (entry.get("dst", "default") for entry in _ip(family, "route"))
    return tuple(addresses.parse_block(text) for text in found if text != "default")


def _ip(*words: str) -> list[dict[str, Any]]:
    answer = process.run(["ip", "-json", *words], failure=NetworkFailed).stdout
    entries: list[dict[str, Any]] = json.loads(answer or "[]")
    return [entry for entry in entries if entry]  # iproute2 prints {} for what its filters leave out


def outward_address() -> str:
    """The address under which the host sends to the world; empty where it has no way out.

    Connecting a datagram socket sends nothing: the kernel only looks up the route.
    """
    import socket

    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return ""
