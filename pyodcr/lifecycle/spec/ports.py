"""`--publish`, `--expose` and `--publish-all`: which ports of the host lead into the container.

Format and words are Podman's: ``[[IP:][HOST[-END]]:]PORT[-END][/PROTOCOL]``, an IPv6 address in brackets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import PortMapping

PROTOCOLS = ("tcp", "udp", "sctp")
_FORMAT = "[[hostIP:]hostPort:]containerPort[/protocol]"

FreePort = Callable[[str, int], int]


def exposed(image_ports: Iterable[str], expose: Iterable[str]) -> dict[str, list[str]]:
    """Port -> protocols, as ``exposedPorts`` of config.dump has them; ranges taken apart."""
    found: dict[str, list[str]] = {}
    for text in (*image_ports, *expose):
        ports, protocol = _protocol(text)
        start, count = _range(ports)
        for port in range(start, start + count):
            protocols = found.setdefault(str(port), [])
            if protocol not in protocols:
                protocols.append(protocol)
    return found


def mappings(
    publish: Sequence[str], exposed_ports: dict[str, list[str]], free_port: FreePort, *, publish_all: bool
) -> tuple[PortMapping, ...]:
    """All mappings, each with a port of the host; where none was given, a free one is asked for."""
    found = _joined([_parse(text) for text in publish])
    if publish_all:
        for port, protocols in exposed_ports.items():
            for protocol in protocols:
                if not any(_covers(mapping, int(port), protocol) for mapping in found):
                    found.append(PortMapping(container_port=int(port), protocol=protocol))
    return tuple(
        mapping if mapping.host_port else replace(mapping, host_port=free_port(mapping.protocol, mapping.range))
        for mapping in found
    )


def _covers(mapping: PortMapping, port: int, protocol: str) -> bool:
    return mapping.protocol == protocol and 0 <= port - mapping.container_port < mapping.range


def _joined(given: Sequence[PortMapping]) -> list[PortMapping]:
    """Neighbouring and repeated ranges made one; two container ports on one port of the host are a conflict."""
    found: list[PortMapping] = []
    for mapping in sorted(given, key=lambda each: (each.host_ip, each.protocol, each.host_port, each.container_port)):
        last = found[-1] if found else None
        if last is None or (last.host_ip, last.protocol) != (mapping.host_ip, mapping.protocol):
            found.append(mapping)
            continue
        if not mapping.host_port:
            if mapping not in found:
                found.append(mapping)
            continue
        distance = mapping.host_port - last.host_port
        if not last.host_port or distance > last.range:
            found.append(mapping)
        elif distance == mapping.container_port - last.container_port:
            found[-1] = replace(last, range=max(last.range, distance + mapping.range))
        elif distance < last.range:
            raise UsageError(
                f"conflicting port mappings for host port {mapping.host_port} (protocol {mapping.protocol})"
            )
        else:
            found.append(mapping)
    return found


def _parse(text: str) -> PortMapping:
    ports, protocol = _protocol(text)
    host_ip, host, container = _parts(ports)
    if not container:
        raise UsageError("must provide a non-empty container port to publish", hint=_FORMAT)
    start, count = _range(container)
    host_start = 0
    if host:
        host_start, host_count = _range(host)
        if host_count != count:
            raise UsageError(f"host and container port ranges have different lengths: {host_count} vs {count}")
    return PortMapping(host_ip=host_ip, container_port=start, host_port=host_start, range=count, protocol=protocol)


def _parts(text: str) -> tuple[str, str, str]:
    """(address, host ports, container ports) as typed; what was not given is empty."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":") or rest.count(":") != 2:
            raise UsageError(f'invalid port format "{text}"', hint="with an IPv6 address: [ipv6]:hostPort:ctrPort")
        host, container = rest[1:].split(":")
        return _address(address), host, container
    words = text.split(":")
    if len(words) > 3:
        raise UsageError(f'invalid port format "{text}"', hint=f"{_FORMAT}; an IPv6 address in brackets")
    if len(words) < 3:
        return "", "".join(words[:-1]), words[-1]
    if not words[0]:
        raise UsageError("must provide a non-empty container host IP to publish", hint=_FORMAT)
    return _address(words[0]), words[1], words[2]


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise UsageError(f'cannot parse "{text}" as an IP address') from error


def _protocol(text: str) -> tuple[str, str]:
    ports, *protocols = text.split("/")
    if len(protocols) > 1:
        raise UsageError(f'invalid port format "{text}" - protocol can only be specified once')
    protocol = protocols[0].lower() if protocols else "tcp"
    if protocol not in PROTOCOLS:
        raise UsageError(f'unrecognized protocol "{protocol}" in port mapping', hint=", ".join(PROTOCOLS))
    return ports, protocol


def _range(text: str) -> tuple[int, int]:
    """(first port, how many)."""
    start, dash, end = text.partition("-")
    first = _port(start)
    if not dash:
        return first, 1
    last = _port(end)
    if last <= first:
        raise UsageError(
            "the end port of a range must be higher than the start port - " + f"{last} is not higher than {first}"
        )
    return first, last - first + 1


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise UsageError(f'invalid port number: "{text}"', hint=_FORMAT)
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise UsageError(f"port numbers must be between 1 and 65535 (inclusive), got {text}")
    return int(text)
