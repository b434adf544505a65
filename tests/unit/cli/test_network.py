from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyodcr.errors import Conflict, UsageError


def test_create_list_inspect_remove(said: Callable[..., str], found: Callable[..., Any], status: list[int]) -> None:
    created = said(
        *("network", "create", "net", "--subnet", "10.250.9.0/24", "--gateway", "10.250.9.9"),
        *("--ip-range", "10.250.9.64/26", "--label", "a=b", "-o", "mtu=1400", "--dns", "192.0.2.1"),
        *("--interface-name", "test9"),
    )
    assert created == "net\n"
    (shown,) = found("network", "inspect", "net")
    assert shown["subnets"] == [
        {
            "subnet": "10.250.9.0/24",
            "gateway": "10.250.9.9",
            "lease_range": {"start_ip": "10.250.9.65", "end_ip": "10.250.9.127"},
        }
    ]
    assert (shown["network_interface"], shown["options"]) == ("test9", {"mtu": "1400"})
    assert (shown["labels"], shown["network_dns_servers"], shown["containers"]) == ({"a": "b"}, ["192.0.2.1"], {})
    heading, *lines = said("network", "ls").splitlines()
    assert heading.split() == ["NETWORK", "ID", "NAME", "DRIVER"]
    assert [line.split() for line in lines if "net" in line] == [[shown["id"][:12], "net", "bridge"]]
    assert said("network", "ls", "-q").split() == ["net", "pyodcr"]
    assert said("network", "ls", "-q", "-f", "label=a=b").split() == ["net"]
    assert shown["id"] in said("network", "ls", "--no-trunc", "--noheading")
    (listed,) = found("network", "ls", "--format", "json", "-f", "name=^net$")
    assert {**listed, "containers": {}} == shown
    assert said("network", "rm", "net") == "net\n"
    assert status == [0]
    assert said("network", "ls", "-q") == "pyodcr\n"


def test_a_template_may_name_what_is_empty(said: Callable[..., str]) -> None:
    said("network", "create", "net", "--disable-dns")
    line = said(
        "network", "ls", "-f", "name=net", "--format", "{{.Name}} {{.Labels}}|{{.NetworkDNSServers}}|{{.Options}}"
    )
    assert line == "net |[]|map[]\n"
    assert said("network", "inspect", "net", "--format", "{{.DNSEnabled}} {{len .Containers}}") == "false 0\n"


def test_create_refuses(said: Callable[..., str]) -> None:
    said("network", "create", "net")
    with pytest.raises(Conflict, match="network name net already used"):
        said("network", "create", "net")
    assert said("network", "create", "net", "--ignore") == "net\n"
    for words in (("--subnet", "ten"), ("--gateway", "10.1.1.1"), ("-d", "macvlan"), ("-o", "no=1"), ("--label", "=")):
        with pytest.raises(UsageError):
            said("network", "create", "other", *words)
    assert said("network", "ls", "-q").split() == ["net", "pyodcr"]


def test_remove_tells_what_cannot_go(said: Callable[..., str], status: list[int]) -> None:
    said("network", "create", "net")
    assert said("network", "rm", "nobody", "net") == "net\n"
    assert status == [1]
    assert said("network", "rm", "pyodcr") == ""
    assert status == [125]
    assert said("network", "rm", "--force", "nobody") == ""
    assert status == [0]
    with pytest.raises(UsageError):
        said("network", "rm")
