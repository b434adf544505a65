from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pyodcr.config import NetworkConfig
from pyodcr.errors import Ambiguous, ConfigInvalid, Conflict, NotFound, UsageError
from pyodcr.lifecycle.network.addresses import parse_block
from pyodcr.lifecycle.network.define import HostUse
from pyodcr.lifecycle.network.definitions import NewNetwork
from pyodcr.lifecycle.network.networks import NetworkStore

PODMANS = {  # as `podman network create` 5.4 writes it
    "name": "theirs",
    "id": "3c1b" + "0" * 60,
    "driver": "bridge",
    "network_interface": "podman3",
    "created": "2026-01-02T03:04:05.678901234+01:00",
    "subnets": [{"subnet": "10.91.0.0/24", "gateway": "10.91.0.1"}],
    "routes": [{"destination": "10.9.0.0/24", "gateway": "10.91.0.9"}],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": True,
    "ipam_options": {"driver": "host-local"},
    "from_the_future": [1],
}


def store(path: Path, host: HostUse | None = None) -> NetworkStore:
    return NetworkStore(path, NetworkConfig(), observe=lambda: host or HostUse())


def test_created_is_found_again(tmp_path: Path) -> None:
    network = store(tmp_path / "networks").create(NewNetwork(name="mine", labels={"a": "b"}))
    again = store(tmp_path / "networks")
    assert again.get("mine") == again.get(network.id) == again.get(network.id[:4]) == network
    assert [found.name for found in again.list()] == ["mine", "pyodcr"]


def test_the_file_is_podmans(tmp_path: Path) -> None:
    network = store(tmp_path).create(NewNetwork(name="mine", subnets=("10.1.0.0/24",)))
    assert network.created_at is not None
    assert json.loads((tmp_path / "mine.json").read_text()) == {
        "name": "mine",
        "id": network.id,
        "driver": "bridge",
        "network_interface": "pyodcr1",
        "created": network.created_at.isoformat().replace("+00:00", "Z"),
        "subnets": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": True,
        "ipam_options": {"driver": "host-local"},
    }
    assert len(network.id) == 64


def test_podmans_file_is_ours_and_unknown_keys_stay(tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(PODMANS))
    network = store(tmp_path).get("theirs")
    assert network.interface == "podman3"
    assert network.extra == {"routes": PODMANS["routes"], "from_the_future": [1]}


def test_the_default_is_made_when_looked_at(tmp_path: Path) -> None:
    network = store(tmp_path / "networks").get("pyodcr")
    assert (network.interface, network.dns_enabled) == ("pyodcr0", False)
    assert (network.subnets[0].subnet, network.subnets[0].gateway) == ("10.87.0.0/16", "10.87.0.1")
    busy = HostUse(interfaces=frozenset({"pyodcr0"}), addresses=(parse_block("10.87.0.1/16"),))
    assert store(tmp_path / "networks", busy).get("pyodcr") == network, "its own bridge is no conflict"


def test_the_default_gives_way_to_what_the_host_uses(tmp_path: Path) -> None:
    busy = HostUse(interfaces=frozenset({"pyodcr0"}), routes=(parse_block("10.87.3.0/24"),))
    network = store(tmp_path, busy).get("pyodcr")
    assert (network.interface, network.subnets[0].subnet) == ("pyodcr1", "10.90.0.0/24")


def test_unknown_and_ambiguous(tmp_path: Path) -> None:
    networks = store(tmp_path)
    for name, digits in (("a", "abc1"), ("b", "abc2")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**PODMANS, "name": name, "id": digits + "0" * 60}))
    assert networks.get("abc2").name == "b"
    with pytest.raises(Ambiguous, match="more than one result for network ID abc"):
        networks.get("abc")
    for ref in ("nope", "", "../a", "."):
        with pytest.raises(NotFound, match=r"unable to find network with name or ID .*: network not found"):
            networks.get(ref)


def test_removed(tmp_path: Path) -> None:
    networks = store(tmp_path)
    network = networks.create(NewNetwork(name="mine"))
    with pytest.raises(Conflict, match='"mine" has associated containers with it') as refused:
        networks.remove("mine", in_use=["web"])
    assert refused.value.code == "network-in-use"
    assert networks.remove(network.id[:10], in_use=()) == network
    with pytest.raises(NotFound):
        networks.get("mine")
    with pytest.raises(UsageError, match="default network pyodcr cannot be removed"):
        networks.remove("pyodcr", in_use=())


def test_created_twice(tmp_path: Path) -> None:
    networks = store(tmp_path)
    first = networks.create(NewNetwork(name="mine"))
    with pytest.raises(Conflict, match="network name mine already used"):
        networks.create(NewNetwork(name="mine"))
    assert networks.create(NewNetwork(name="mine", ignore_existing=True)) == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"name": "bad"}',
        '{"name": "other", "id": "1"}',
        '{"name": "bad", "id": "1", "subnets": [{"subnet": "here"}]}',
        '{"name": "bad", "id": "1", "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.9.0.1"}]}',
    ],
)
def test_a_damaged_file_is_named_and_harms_no_other(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.json").write_text(text)
    networks = store(tmp_path)
    with pytest.raises(ConfigInvalid, match=str(tmp_path / "bad.json")):
        networks.get("bad")
    with caplog.at_level(logging.WARNING):
        assert [network.name for network in networks.list()] == ["pyodcr"]
    assert "bad.json" in caplog.text
