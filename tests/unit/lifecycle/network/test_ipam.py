from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.errors import Conflict, UsageError
from pyodcr.lifecycle.network.definitions import LeaseRange, Network, Subnet
from pyodcr.lifecycle.network.ipam import allocate, random_mac
from pyodcr.lifecycle.network.status import MAC

SMALL = Subnet(subnet="10.1.0.0/29", gateway="10.1.0.1")  # .2 to .6 are to be had
NET = Network(name="n", id="a", subnets=(SMALL,))
DUAL = Network(name="d", id="b", subnets=(SMALL, Subnet(subnet="fd00::/64", gateway="fd00::1")))


def given_out(network: Network, *wanted: str, taken: tuple[str, ...] = (), last: str = "") -> tuple[str, ...]:
    holders = dict.fromkeys(taken, "holder")
    return allocate(network, wanted=wanted, taken=holders, last={"10.1.0.0/29": last} if last else {})


def test_first_free() -> None:
    assert given_out(NET) == ("10.1.0.2",)
    assert given_out(NET, taken=("10.1.0.2", "10.1.0.3")) == ("10.1.0.4",)


def test_after_the_last_one_given_and_round() -> None:
    assert given_out(NET, last="10.1.0.4") == ("10.1.0.5",)
    assert given_out(NET, last="10.1.0.6") == ("10.1.0.2",)
    assert given_out(NET, last="10.1.0.4", taken=("10.1.0.5", "10.1.0.6")) == ("10.1.0.2",)
    assert given_out(NET, last="10.200.0.1") == ("10.1.0.2",), "the subnet was another one then"


def test_one_in_each_subnet_in_their_order() -> None:
    assert given_out(DUAL) == ("10.1.0.2", "fd00::2")
    assert given_out(DUAL, "fd00::99") == ("10.1.0.2", "fd00::99")
    assert given_out(DUAL, "fd00:0::0099", "10.1.0.6") == ("10.1.0.6", "fd00::99")


def test_none_left() -> None:
    full = tuple(f"10.1.0.{number}" for number in range(2, 7))
    with pytest.raises(Conflict, match=r"failed to find free IP in range: 10\.1\.0\.1 - 10\.1\.0\.6"):
        given_out(NET, taken=full, last="10.1.0.3")


def test_wanted_but_taken() -> None:
    with pytest.raises(Conflict, match=r"requested ip address 10\.1\.0\.3 is already allocated to container ID holder"):
        given_out(NET, "10.1.0.3", taken=("10.1.0.3",))
    with pytest.raises(Conflict, match="is the gateway"):
        given_out(NET, "10.1.0.1")


def test_wanted_elsewhere() -> None:
    with pytest.raises(UsageError, match=r"requested static ip 10\.2\.0\.3 not in any subnet on network n") as refused:
        given_out(NET, "10.2.0.3")
    assert refused.value.hint
    with pytest.raises(UsageError, match="invalid static ip: 'x'"):
        given_out(NET, "x")


def test_a_network_without_ipam_gives_none() -> None:
    assert allocate(Network(name="n", id="a", ipam_options={"driver": "none"}), wanted=(), taken={}, last={}) == ()


def ranged(start: str, end: str) -> Network:
    leases = LeaseRange(start=start, end=end)
    return Network(name="n", id="a", subnets=(Subnet(subnet="10.1.0.0/29", gateway="10.1.0.1", lease_range=leases),))


def test_lease_range() -> None:
    assert given_out(ranged("10.1.0.4", "10.1.0.5")) == ("10.1.0.4",)
    assert given_out(ranged("10.1.0.4", "10.1.0.5"), last="10.1.0.5") == ("10.1.0.4",)
    assert given_out(ranged("10.1.0.4", "")) == ("10.1.0.4",)
    assert given_out(ranged("", "10.1.0.2")) == ("10.1.0.2",)
    with pytest.raises(Conflict):
        given_out(ranged("10.1.0.6", "10.1.0.7"), taken=("10.1.0.6",))
    assert given_out(ranged("10.1.0.4", "10.1.0.4"), "10.1.0.6") == ("10.1.0.6",), (
        "asked for by name it may lie outside"
    )


@given(st.sets(st.integers(0, 7)), st.integers(-1, 7))
def test_never_a_wrong_one(taken: set[int], last: int) -> None:
    held = tuple(f"10.1.0.{number}" for number in taken)
    free = {2, 3, 4, 5, 6} - taken
    if not free:
        with pytest.raises(Conflict):
            given_out(NET, taken=held)
        return
    (chosen,) = given_out(NET, taken=held, last=f"10.1.0.{last}" if last >= 0 else "")
    assert int(ipaddress.ip_address(chosen)) & 7 in free


def test_macs_are_local_and_unicast() -> None:
    assert random_mac(lambda count: b"\xff" * count) == "fe:ff:ff:ff:ff:ff"
    assert random_mac(bytes) == "02:00:00:00:00:00"
    assert MAC.match(random_mac())
