"""Published ports: are they free on the host, who holds them, and which ones to take.

A published port is a firewall rule, which the kernel does not count as a use of the port. So, as
libpod, the port is also bound and listened on by a socket that conmon inherits and never reads: another
program gets "address already in use" instead of a port that silently leads into a container.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pyodcr.errors import Conflict, SystemFailed, UsageError
from pyodcr.lifecycle.models import PortMapping
from pyodcr.lifecycle.network.addresses import parse_address

if TYPE_CHECKING:
    import socket

PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
TRIES = 15  # as libpod
MAX_PORT = 65535

Published = Mapping[str, Sequence[PortMapping]]  # container name -> its ports


def check(ports: Sequence[PortMapping]) -> None:
    """Refuse what no host could publish; raises :class:`UsageError`."""
    for mapping in ports:
        if mapping.host_ip:
            parse_address(mapping.host_ip, "host ip")
        for protocol in mapping.protocol.split(","):
            if protocol not in PROTOCOLS:
                raise UsageError(f'unrecognized protocol "{protocol}" in port mapping')
        if not mapping.container_port or mapping.range < 1:
            raise UsageError("container port number must be non-0")
        if max(mapping.container_port, mapping.host_port) + mapping.range - 1 > MAX_PORT:
            raise UsageError("port range exceeds maximum allowable port number")


@contextmanager
def reserved(ports: Sequence[PortMapping], *, published: Published | None = None) -> Iterator[tuple[int, ...]]:
    """Hold every host port for the length of the block; the descriptors are for conmon to inherit.

    Raises :class:`Conflict` (``port-in-use``) naming the port, and the container of ``published`` that has it.
    """
    check(ports)
    with ExitStack() as sockets:
        descriptors = []
        for mapping in ports:
            for protocol in mapping.protocol.split(","):
                for port in range(mapping.host_port, mapping.host_port + mapping.range):
                    if protocol == "sctp":  # Python's sockets need not know it, and libpod does not reserve it
                        continue
                    try:
                        held = _bind(protocol, mapping.host_ip, port)
                    except OSError as error:
                        raise _refused(error, protocol, mapping.host_ip, port, published or {}) from error
                    descriptors.append(sockets.enter_context(held).fileno())
        yield tuple(descriptors)


def require_free(ports: Sequence[PortMapping], *, published: Published | None = None) -> None:
    """Raise what :func:`reserved` would, and hold nothing."""
    with reserved(ports, published=published):
        return


def assign(ports: Sequence[PortMapping]) -> tuple[PortMapping, ...]:
    """The same mappings, each with a host port: where none was given, a free one of the kernel's choice.

    A range gets as many free ports in a row. They are free now; :func:`reserved` makes sure of it at start.
    """
    check(ports)
    used = {
        (protocol, port)
        for mapping in ports
        if mapping.host_port
        for protocol in mapping.protocol.split(",")
        for port in range(mapping.host_port, mapping.host_port + mapping.range)
    }
    assigned = []
    for mapping in ports:
        if not mapping.host_port:
            mapping = replace(mapping, host_port=_free_run(mapping, used))
            for protocol in mapping.protocol.split(","):
                used |= {(protocol, mapping.host_port + offset) for offset in range(mapping.range)}
        assigned.append(mapping)
    return tuple(assigned)


def holder(port: int, protocol: str, host_ip: str, published: Published) -> str:
    """The container that publishes this port on this address, or on one that includes it; empty if none."""
    for name, mappings in published.items():
        for mapping in mappings:
            if (
                protocol in mapping.protocol.split(",")
                and mapping.host_port <= port < mapping.host_port + mapping.range
                and (_is_any(host_ip) or _is_any(mapping.host_ip) or host_ip == mapping.host_ip)
            ):
                return name
    return ""


def _is_any(host_ip: str) -> bool:
    return host_ip in ("", "0.0.0.0", "::")


def _bind(protocol: str, host_ip: str, port: int) -> socket.socket:
    import socket

    address = parse_address(host_ip, "host ip") if host_ip else None
    family = socket.AF_INET6 if address is not None and address.version == 6 else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # a port whose last connections are in TIME_WAIT is free; one that is listened on is not, even so
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host_ip, port))
        if protocol == "tcp":
            held.listen(0)
    except BaseException:
        held.close()
        raise
    return held


def _refused(error: OSError, protocol: str, host_ip: str, port: int, published: Published) -> Conflict | SystemFailed:
    where = f"{host_ip or '0.0.0.0'}:{port}" if ":" not in host_ip else f"[{host_ip}]:{port}"
    if error.errno != errno.EADDRINUSE:
        return SystemFailed(f"cannot listen on the {protocol} port {where}: {str(error.strerror).lower()}")
    owner = holder(port, protocol, host_ip, published)
    by = f" by container {owner}" if owner else ""
    return Conflict(
        f"{protocol} port {where} is already in use{by}",
        code="port-in-use",
        hint="stop what uses it, or publish another host port",
        port=port,
        protocol=protocol,
        container=owner or None,
    )


def _free_run(mapping: PortMapping, used: Collection[tuple[str, int]]) -> int:
    protocols = [protocol for protocol in mapping.protocol.split(",") if protocol != "sctp"] or ["tcp"]
    for _ in range(TRIES):
        with _bind(protocols[0], mapping.host_ip, 0) as probe:
            first = int(probe.getsockname()[1])
        if first + mapping.range - 1 > MAX_PORT:
            continue
        run = [(protocol, first + offset) for protocol in protocols for offset in range(mapping.range)]
        if not any(port in used for port in run) and all(_is_free(*port, mapping.host_ip) for port in run):
            return first
    length = f"with range {mapping.range} " if mapping.range > 1 else ""
    raise Conflict(
        f"failed to find an open port to expose container port {mapping.container_port} {length}on the host",
        code="port-in-use",
    )


def _is_free(protocol: str, port: int, host_ip: str) -> bool:
    try:
        _bind(protocol, host_ip, port).close()
    except OSError:
        return False
    return True
