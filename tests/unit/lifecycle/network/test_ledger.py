from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyodcr import jsonio
from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.models import NetworkOptions, PortMapping
from pyodcr.lifecycle.network.definitions import Network, Subnet
from pyodcr.lifecycle.network.ledger import Attachment, Ledger, LedgerFile, Request

NETWORK = Network(name="n", id="ab" * 32, subnets=(Subnet(subnet="10.1.0.0/24", gateway="10.1.0.1"),), extra={"x": 1})


def attachment(container: str, *ips: str, settled: bool = True) -> Attachment:
    options = NetworkOptions(static_ips=ips, static_mac="02:00:00:00:00:01", interface_name="eth0")
    request = Request(
        container_id=container,
        container_name=f"name-of-{container}",
        ports=(PortMapping(container_port=80, host_port=8080),),
        networks={"n": options},
        definitions={"n": NETWORK},
    )
    return Attachment(netns=f"/run/netns/{container}", settled=settled, request=request)


def test_a_request_is_what_netavark_reads() -> None:
    assert jsonio.encode(attachment("a", "10.1.0.2").request) == {
        "container_id": "a",
        "container_name": "name-of-a",
        "port_mappings": [{"host_ip": "", "container_port": 80, "host_port": 8080, "range": 1, "protocol": "tcp"}],
        "networks": {
            "n": {"static_ips": ["10.1.0.2"], "static_mac": "02:00:00:00:00:01", "interface_name": "eth0"},
        },
        "network_info": {
            "n": {
                "name": "n",
                "id": "ab" * 32,
                "driver": "bridge",
                "created": None,
                "subnets": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}],
                "ipv6_enabled": False,
                "internal": False,
                "dns_enabled": False,
                "x": 1,
            }
        },
    }


def test_addresses_are_taken_by_attachments() -> None:
    ledger = Ledger().with_attachment(attachment("a", "10.1.0.2")).with_attachment(attachment("b", "10.1.0.3"))
    assert ledger.taken("n") == {"10.1.0.2": "a", "10.1.0.3": "b"}
    assert ledger.taken("other") == {}
    assert ledger.without("a").without("nobody").taken("n") == {"10.1.0.3": "b"}


def test_unsettled() -> None:
    ledger = Ledger().with_attachment(attachment("a")).with_attachment(attachment("b", settled=False))
    assert [entry.id for entry in ledger.unsettled()] == ["b"]
    assert ledger.with_attachment(attachment("b")).unsettled() == ()


def test_last_given() -> None:
    ledger = Ledger().with_last("n", {"a": "1"}).with_last("n", {"b": "2"}).with_last("m", {})
    assert ledger.last == {"n": {"a": "1", "b": "2"}, "m": {}}


def test_round_trip(tmp_path: Path) -> None:
    file = LedgerFile(tmp_path / "deep" / "attachments.json")
    assert file.read() == Ledger()
    ledger = Ledger().with_attachment(attachment("a", "10.1.0.2")).with_last("n", {"10.1.0.0/24": "10.1.0.2"})
    file.write(ledger)
    assert file.read() == ledger


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"attachments": {"a": {}}})])
def test_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "attachments.json"
    path.write_text(text)
    with pytest.raises(SystemFailed, match=str(path)):
        LedgerFile(path).read()
