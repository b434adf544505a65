from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pyodcr.errors import Conflict, SystemFailed, UsageError
from pyodcr.lifecycle.models import PortMapping
from pyodcr.lifecycle.network import ports


def mapping(host_port: int = 0, **fields: Any) -> PortMapping:
    return PortMapping(container_port=80, host_port=host_port, **fields)


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_chosen_and_kept() -> None:
    given, chosen = ports.assign([mapping(8080), mapping()])
    assert given == mapping(8080)
    assert chosen.host_port > 1024
    ports.require_free([chosen])


def test_chosen_ports_are_no_two_the_same() -> None:
    chosen = ports.assign([mapping(range=3, protocol="tcp,udp") for _ in range(20)])
    used = [port for one in chosen for port in range(one.host_port, one.host_port + one.range)]
    assert len(set(used)) == len(used) == 60


def test_a_busy_port_is_refused(busy: int) -> None:
    with pytest.raises(Conflict) as refused:
        ports.require_free([mapping(busy)])
    assert str(refused.value) == f"tcp port 0.0.0.0:{busy} is already in use"
    assert (refused.value.code, refused.value.details["port"]) == ("port-in-use", busy)
    ports.require_free([mapping(busy, protocol="udp")])


def test_the_container_is_named(busy: int) -> None:
    with pytest.raises(Conflict, match="already in use by container web"):
        ports.require_free([mapping(busy)], published={"db": [mapping(1)], "web": [mapping(busy - 3, range=10)]})


@pytest.mark.parametrize(
    ("port", "protocol", "host_ip", "owner"),
    [
        (80, "tcp", "", "web"),
        (89, "udp", "", "web"),
        (90, "tcp", "", ""),
        (80, "sctp", "", ""),
        (80, "tcp", "10.0.0.9", ""),
        (80, "tcp", "10.0.0.1", "web"),
        (80, "tcp", "::", "web"),
        (443, "tcp", "10.0.0.9", "any"),
    ],
)
def test_holder(port: int, protocol: str, host_ip: str, owner: str) -> None:
    published = {
        "web": [mapping(80, range=10, protocol="tcp,udp", host_ip="10.0.0.1")],
        "any": [mapping(443)],
    }
    assert ports.holder(port, protocol, host_ip, published) == owner


def test_an_address_that_is_not_the_hosts() -> None:
    with pytest.raises(SystemFailed, match=r"cannot listen on the tcp port 192\.0\.2\.7:8080: "):
        ports.require_free([mapping(8080, host_ip="192.0.2.7")])


def test_a_port_in_time_wait_is_free() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = server.accept()
        accepted.close()  # this side closes first, and waits
    server.close()
    ports.require_free([mapping(port)])


def test_all_are_let_go_when_one_is_refused(busy: int) -> None:
    (free,) = ports.assign([mapping()])
    with pytest.raises(Conflict):
        ports.require_free([free, mapping(busy)])
    ports.require_free([free])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (mapping(1, host_ip="here"), "invalid host ip: 'here' is not an IP address"),
        (mapping(1, protocol="icmp"), 'unrecognized protocol "icmp" in port mapping'),
        (PortMapping(container_port=0, host_port=1), "container port number must be non-0"),
        (mapping(65000, range=1000), "port range exceeds maximum allowable port number"),
    ],
)
def test_nonsense(wrong: PortMapping, says: str) -> None:
    for check in (ports.check, ports.require_free, ports.assign):
        with pytest.raises(UsageError) as refused:
            check([wrong])
        assert says in str(refused.value)
