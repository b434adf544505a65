from __future__ import annotations

from typing import Any

import pytest

from pyodcr.jsonio import JsonInvalid
from pyodcr.lifecycle.models import NetworkOptions
from pyodcr.lifecycle.network import status
from pyodcr.lifecycle.network.status import reuse

PODMANS: dict[str, Any] = {
    "one": {
        "interfaces": {
            "eth3": {
                "subnets": [
                    {"ipnet": "10.89.0.4/16", "gateway": "10.89.0.1"},
                    {"ipnet": "fd00::4/64", "gateway": "fd00::1"},
                ],
                "mac_address": "92:d0:c6:0a:29:33",
            }
        },
        "dns_server_ips": ["10.89.0.1", "fd00::1"],
        "dns_search_domains": ["dns.podman"],
    },
    "two": {"interfaces": {"eth1": {"subnets": None, "mac_address": ""}}, "dns_server_ips": None},
}
NETWORKS = {
    "one": NetworkOptions(static_ips=("10.89.9.9",), static_mac="92:00:00:00:00:01", aliases=("db",)),
    "three": NetworkOptions(static_ips=("10.1.1.1",), static_mac="92:00:00:00:00:03"),
}


def test_reads_what_podman_writes() -> None:
    blocks = status.parse(PODMANS)
    assert status.ips(blocks) == ("10.89.0.4", "fd00::4")
    assert status.gateway(blocks) == "10.89.0.1"
    assert status.nameservers(blocks) == ("10.89.0.1", "fd00::1")
    assert status.search_domains(blocks) == ("dns.podman",)
    assert status.has_ipv6(blocks)


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing(nothing: dict[str, Any] | None) -> None:
    blocks = status.parse(nothing)
    assert (status.ips(blocks), status.gateway(blocks), status.has_ipv6(blocks)) == ((), "", False)


def test_an_ipv6_gateway_serves_where_there_is_no_other() -> None:
    only_v6 = {"n": {"interfaces": {"eth0": {"subnets": [{"ipnet": "fd00::4/64", "gateway": "fd00::1"}]}}}}
    assert status.gateway(status.parse(only_v6)) == "fd00::1"


def test_reuse_takes_the_dumped_over_the_configured() -> None:
    joined = reuse(NETWORKS, PODMANS)
    assert joined["one"] == NetworkOptions(
        static_ips=("10.89.0.4", "fd00::4"),
        static_mac="92:d0:c6:0a:29:33",
        interface_name="eth3",
        aliases=("db",),
    )
    assert joined["three"] == NETWORKS["three"], "it had no address to keep"
    assert list(joined) == ["one", "three"], "a network that it left is not joined again"


def test_reuse_ignoring() -> None:
    joined = reuse(NETWORKS, PODMANS, ignore_static_ip=True)
    assert (joined["one"].static_ips, joined["one"].static_mac) == ((), "92:d0:c6:0a:29:33")
    assert joined["three"].static_ips == ()
    joined = reuse(NETWORKS, PODMANS, ignore_static_mac=True)
    assert (joined["one"].static_ips, joined["one"].static_mac) == (("10.89.0.4", "fd00::4"), "")
    assert joined["three"].static_mac == ""
    joined = reuse(NETWORKS, PODMANS, ignore_static_ip=True, ignore_static_mac=True)
    assert joined["one"] == NetworkOptions(interface_name="eth3", aliases=("db",))


def test_reuse_without_status() -> None:
    assert reuse(NETWORKS, None) == NETWORKS


@pytest.mark.parametrize(
    "block",
    [
        [],
        {"interfaces": []},
        {"interfaces": {"eth0": {"subnets": [{}]}}},
        {"interfaces": {"eth0": {"subnets": [{"ipnet": "10.0.0.1 -j ACCEPT"}]}}},
        {"interfaces": {"eth0": {"mac_address": "x"}}},
        {"interfaces": {"eth0": {"mac_address": "92:d0:c6:0a:29:33\n"}}},
        {"interfaces": {"../../eth0": {}}},
        {"interfaces": {"a name": {}}},
        {"interfaces": {"sixteen-letters-": {}}},
        {"interfaces": {"..": {}}},
        {"interfaces": {"": {}}},
    ],
)
def test_hostile(block: Any) -> None:
    with pytest.raises(JsonInvalid):
        reuse({"n": NetworkOptions()}, {"n": block})
