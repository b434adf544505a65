from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pyodcr.errors import Conflict, PyodcrError, UsageError
from pyodcr.lifecycle.network.addresses import parse_block
from pyodcr.lifecycle.network.define import HostUse, define
from pyodcr.lifecycle.network.definitions import LeaseRange, Network, NewNetwork, Subnet

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OTHER = Network(name="other", id="ab" * 32, interface="pyodcr1", subnets=(Subnet(subnet="10.90.0.0/24"),))


def made(asked: NewNetwork, *others: Network, **host: Any) -> Network:
    return define(asked, network_id="cd" * 32, created_at=NOW, others=others, host=HostUse(**host))


def test_everything_chosen() -> None:
    network = made(NewNetwork())
    assert network == Network(
        name="pyodcr1",
        id="cd" * 32,
        interface="pyodcr1",
        created_at=NOW,
        subnets=(Subnet(subnet="10.90.0.0/24", gateway="10.90.0.1"),),
        dns_enabled=True,
        ipam_options={"driver": "host-local"},
    )


def test_everything_asked_for() -> None:
    asked = NewNetwork(
        name="mine",
        subnets=("10.1.2.3/24", "fd00::/64"),
        gateways=("10.1.2.254",),
        ip_ranges=("10.1.2.100-10.1.2.110",),
        disable_dns=True,
        interface_name="br9",
        labels={"a": "b"},
        options={"mtu": "1400", "isolate": "1", "com.docker.network.driver.mtu": "1300"},
    )
    network = made(asked)
    assert (network.name, network.interface, network.labels) == ("mine", "br9", {"a": "b"})
    assert network.subnets == (
        Subnet(
            subnet="10.1.2.0/24",
            gateway="10.1.2.254",
            lease_range=LeaseRange(start="10.1.2.100", end="10.1.2.110"),
        ),
        Subnet(subnet="fd00::/64", gateway="fd00::1"),
    )
    assert network.ipv6_enabled
    assert not network.dns_enabled
    assert network.options == {"mtu": "1300", "isolate": "true"}


def test_names_subnets_and_bridges_of_others_are_avoided() -> None:
    network = made(
        NewNetwork(),
        OTHER,
        interfaces=frozenset({"pyodcr2"}),
        addresses=(parse_block("10.90.1.7/24"),),
        routes=(parse_block("10.90.2.0/23"),),
    )
    assert (network.name, network.interface) == ("pyodcr3", "pyodcr3")
    assert network.subnets[0].subnet == "10.90.4.0/24"


def test_where_all_of_ten_is_routed_another_pool_serves() -> None:
    assert made(NewNetwork(), routes=(parse_block("10.0.0.0/8"),)).subnets[0].subnet == "172.20.0.0/24"


def test_ipv6_adds_the_missing_family() -> None:
    both = made(NewNetwork(ipv6=True)).subnets
    assert [parse_block(subnet.subnet).version for subnet in both] == [4, 6]
    assert both[1].subnet.startswith("fd")
    assert both[1].subnet.endswith("::/64")
    added = made(NewNetwork(ipv6=True, subnets=("fd12::/64",))).subnets
    assert [parse_block(subnet.subnet).version for subnet in added] == [6, 4]


def test_an_internal_network_has_a_gateway_only_for_names() -> None:
    assert made(NewNetwork(internal=True, disable_dns=True)).subnets[0].gateway == ""
    assert made(NewNetwork(internal=True)).subnets[0].gateway == "10.90.0.1"


def test_vlans_share_a_bridge_and_a_subnet_of_the_host() -> None:
    asked = NewNetwork(name="v7", interface_name="pyodcr1", subnets=("192.168.7.0/24",), options={"vlan": "7"})
    network = made(asked, OTHER, addresses=(parse_block("192.168.7.0/24"),))
    assert network.interface == "pyodcr1"


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        (NewNetwork(name="-x"), UsageError, "network name -x invalid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*"),
        (NewNetwork(name="a/b"), UsageError, "network name a/b invalid"),
        (NewNetwork(name="a\n"), UsageError, "network name a\n invalid"),
        (NewNetwork(name="a" * 250), UsageError, "invalid"),
        (NewNetwork(name="host"), UsageError, 'cannot create network with name "host" because it conflicts'),
        (NewNetwork(name="other"), Conflict, "network name other already used: network already exists"),
        (NewNetwork(driver="macvlan"), UsageError, 'failed to find driver or plugin "macvlan"'),
        (NewNetwork(name="n", interface_name="pyodcr1"), Conflict, "bridge name pyodcr1 already in use"),
        (NewNetwork(name="n", interface_name="a" * 16), UsageError, "interface name is too long"),
        (NewNetwork(name="n", interface_name="a b"), UsageError, "bridge name a b invalid"),
        (NewNetwork(subnets=("10.1.0.0/99",)), UsageError, "invalid CIDR address: 10.1.0.0/99"),
        (NewNetwork(subnets=("10.90.0.128/25",)), Conflict, "subnet 10.90.0.128/25 is already used on the host or by"),
        (NewNetwork(subnets=("10.5.0.0/31",)), UsageError, "subnet 10.5.0.0/31 is too small"),
        (NewNetwork(subnets=("10.5.0.0/24", "10.5.0.0/16")), UsageError, "subnet 10.5.0.0/16 overlaps another"),
        (NewNetwork(gateways=("10.5.0.1",)), UsageError, "cannot set gateway or range without subnet"),
        (
            NewNetwork(subnets=("10.5.0.0/24",), gateways=("10.5.0.1", "10.5.0.2")),
            UsageError,
            "cannot set more gateways than subnets",
        ),
        (
            NewNetwork(subnets=("10.5.0.0/24",), ip_ranges=("10.5.0.0/25", "10.5.0.128/25")),
            UsageError,
            "cannot set more ranges than subnets",
        ),
        (NewNetwork(subnets=("10.5.0.0/24",), gateways=("10.6.0.1",)), UsageError, "gateway 10.6.0.1 not in subnet"),
        (NewNetwork(subnets=("10.5.0.0/24",), gateways=("fd00::1",)), UsageError, "gateway fd00::1 not in subnet"),
        (NewNetwork(subnets=("10.5.0.0/24",), gateways=("gate",)), UsageError, "invalid gateway: 'gate'"),
        (
            NewNetwork(subnets=("10.5.0.0/24",), ip_ranges=("10.4.0.1-10.5.0.9",)),
            UsageError,
            "lease range start ip 10.4.0.1 not in subnet 10.5.0.0/24",
        ),
        (NewNetwork(options={"speed": "1"}), UsageError, "unsupported bridge network option speed"),
        (NewNetwork(options={"mtu": "-1"}), UsageError, "network option mtu must be a number from 0 to 65535"),
        (NewNetwork(options={"vlan": "4095"}), UsageError, "network option vlan must be a number from 0 to 4094"),
        (NewNetwork(options={"isolate": "maybe"}), UsageError, "network option isolate must be true or false"),
        (NewNetwork(options={"mode": "wild"}), UsageError, 'unknown bridge mode "wild"'),
        (NewNetwork(options={"vrf": ""}), UsageError, "invalid vrf name"),
        (NewNetwork(disable_dns=True, dns_servers=("1.1.1.1",)), UsageError, "cannot set NetworkDNSServers if DNS"),
        (NewNetwork(dns_servers=("one",)), UsageError, "invalid dns server: 'one'"),
    ],
)
def test_refused(asked: NewNetwork, kind: type[PyodcrError], says: str) -> None:
    with pytest.raises(kind) as refused:
        made(asked, OTHER)
    assert says in str(refused.value)


def test_the_same_bridge_name_is_chosen_for_no_two() -> None:
    first = made(NewNetwork(name="a"))
    second = made(NewNetwork(name="b"), first)
    assert (first.interface, second.interface) == ("pyodcr1", "pyodcr2")
