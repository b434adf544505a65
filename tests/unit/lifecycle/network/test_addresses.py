from __future__ import annotations

import pytest

from pyodcr.errors import Conflict
from pyodcr.lifecycle.network import addresses
from pyodcr.lifecycle.network.addresses import parse_block
from pyodcr.lifecycle.network.definitions import LeaseRange


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("10.0.0.5-10.0.0.9", "10.0.0.5", "10.0.0.9"),
        ("10.0.0.128/25", "10.0.0.129", "10.0.0.255"),
        ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
        ("fd00::-fd00::f", "fd00::", "fd00::f"),
    ],
)
def test_ranges(text: str, start: str, end: str) -> None:
    assert addresses.parse_range(text) == LeaseRange(start=start, end=end)


def test_no_subnet_left() -> None:
    everything = parse_block("0.0.0.0/0")
    with pytest.raises(Conflict, match="could not find free subnet from subnet pools"):
        addresses.free_ipv4([everything])


def test_families_do_not_overlap() -> None:
    assert not addresses.overlaps(parse_block("0.0.0.0/0"), [parse_block("::/0")])
    assert addresses.free_ipv4([parse_block("::/0")]) == parse_block("10.90.0.0/24")


def test_a_random_ipv6_subnet_that_is_taken_is_not_given() -> None:
    bytes_ = iter([bytes(7), bytes(7), b"\x01" + bytes(6)])
    chosen = addresses.free_ipv6([parse_block("fd00::/64")], random=lambda _: next(bytes_))
    assert chosen == parse_block("fd01::/64")
    with pytest.raises(Conflict, match="failed to get random ipv6 subnet"):
        addresses.free_ipv6([parse_block("::/0")])
