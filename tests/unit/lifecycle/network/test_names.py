from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network import names
from pyodcr.lifecycle.network.names import hosts, resolv_conf

STATUS = {
    "n": {
        "interfaces": {"eth0": {"subnets": [{"ipnet": "10.89.0.4/16", "gateway": "10.89.0.1"}], "mac_address": ""}},
        "dns_server_ips": ["10.89.0.1"],
        "dns_search_domains": ["dns.podman"],
    }
}


def test_hosts_of_a_container() -> None:
    text = hosts(
        "10.0.0.1\tprinter printer.lan # upstairs\n# 10.0.0.2 ghost\n10.0.0.3\n",
        extra=("db;db.lan:10.1.1.1", "me:host-gateway", "six:fd00::1"),
        own=[("10.89.0.4", ("web-host", "web"))],
        gateway="10.89.0.1",
    )
    assert text == (
        "10.1.1.1\tdb db.lan\n"
        "10.89.0.1\tme\n"
        "fd00::1\tsix\n"
        "10.0.0.1\tprinter printer.lan\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost\n"
        "10.89.0.1\thost.containers.internal host.docker.internal\n"
        "10.89.0.4\tweb-host web\n"
    )


def test_what_the_user_named_is_not_named_again() -> None:
    text = hosts(
        "127.0.0.1 localhost\n",
        extra=("web:10.1.1.1", "host.docker.internal:10.1.1.2"),
        own=[("10.89.0.4", ("web", "web"))],
        gateway="10.89.0.1",
    )
    assert text.splitlines()[2:] == ["127.0.0.1\tlocalhost", "10.89.0.1\thost.containers.internal"]


def test_every_address_has_the_same_names() -> None:
    text = hosts("", extra=(), own=[("10.89.0.4", ("a", "a")), ("fd00::4", ("a", "a"))], gateway="")
    assert text.endswith("10.89.0.4\ta\nfd00::4\ta\n")
    assert "host.containers.internal" not in text


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("nothing", 'unable to parse host entry "nothing": incorrect format'),
        (":10.0.0.1", 'hostname in host entry ":10.0.0.1" is empty'),
        ("name:", 'IP address in host entry "name:" is empty'),
        ("name:host-gateway", 'unable to replace "host-gateway" of host entry "name:host-gateway"'),
    ],
)
def test_wrong_entries(entry: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        hosts("", extra=(entry,), own=[], gateway="")
    assert says in str(refused.value)


HOSTS_OWN = """\
# made by hand
search lan old
search lan
nameserver 127.0.0.53
nameserver 192.168.1.1 ; the router
nameserver fe80::1%eth0
nameserver fd00::53
options ndots:2 trust-ad
"""


def test_host_network_keeps_the_hosts_file() -> None:
    assert resolv_conf(HOSTS_OWN, own_network=False, ipv6=False) == (
        "search lan\nnameserver 127.0.0.53\nnameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver fd00::53\n"
        "options ndots:2 trust-ad\n"
    )


def test_own_network_leaves_out_what_cannot_be_reached() -> None:
    assert resolv_conf(HOSTS_OWN, own_network=True, ipv6=False) == (
        "search lan\nnameserver 192.168.1.1\noptions ndots:2 trust-ad\n"
    )
    assert "nameserver fd00::53\n" in resolv_conf(HOSTS_OWN, own_network=True, ipv6=True)
    assert "fe80" not in resolv_conf(HOSTS_OWN, own_network=True, ipv6=True)


def test_defaults_where_nothing_is_left() -> None:
    text = resolv_conf("nameserver ::1\n", own_network=True, ipv6=False)
    assert text == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    assert "2001:4860:4860::8888" in resolv_conf("", own_network=True, ipv6=True)
    assert resolv_conf("", own_network=False, ipv6=False) == ""


def test_asked_for() -> None:
    text = resolv_conf(
        HOSTS_OWN, own_network=True, ipv6=False, servers=("1.1.1.1",), search=("here",), options=("edns0",)
    )
    assert text == "search here\nnameserver 1.1.1.1\noptions edns0\n"


def test_search_domains() -> None:
    def searched(**parts: Any) -> str:
        return resolv_conf(HOSTS_OWN, own_network=True, ipv6=False, **parts).partition("nameserver")[0]

    assert searched(network_search=("dns.podman",)) == "search dns.podman lan\n"
    assert searched(network_search=("dns.podman",), search=("x", "y")) == "search x y\n"
    assert searched(network_search=("dns.podman",), search=(".",)) == ""


def container(**fields: Any) -> ContainerConfig:
    kinds = fields.pop("namespaces", ("network", "uts"))
    spec = {"hostname": "web-host", "linux": {"namespaces": [{"type": kind} for kind in kinds]}}
    return ContainerConfig(id="ab" * 32, name="web", spec=spec, **fields)


def test_written_for_a_bridged_container(tmp_path: Path) -> None:
    names.write(tmp_path / "run", container(own_netns=True), STATUS)
    read = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert read["hostname"] == "web-host\n"
    assert "10.89.0.4\tweb-host web\n" in read["hosts"]
    assert "10.89.0.1\thost.containers.internal host.docker.internal\n" in read["hosts"]
    assert "nameserver 10.89.0.1\n" in read["resolv.conf"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()} == {0o644}


def test_rewritten_in_place(tmp_path: Path) -> None:
    names.write(tmp_path, container(own_netns=True, extra_hosts=("a-long-name:10.0.0.1",)), STATUS)
    before = (tmp_path / "hosts").stat()
    names.write(tmp_path, container(own_netns=True), STATUS)
    after = (tmp_path / "hosts").stat()
    assert before.st_ino == after.st_ino, "the container's mount would stay on the old file"
    assert after.st_size < before.st_size


def test_written_for_the_other_kinds(tmp_path: Path) -> None:
    names.write(tmp_path / "none", container(), {})
    assert "127.0.0.1\tweb-host web\n" in (tmp_path / "none/hosts").read_text()
    names.write(tmp_path / "host", container(namespaces=()), None)
    text = (tmp_path / "host/hosts").read_text()
    assert "127.0.0.1\thost.containers.internal host.docker.internal\n" in text
    assert (tmp_path / "host/hostname").read_text() == f"{os.uname().nodename}\n"
    names.write(tmp_path / "shared", container(net_container="cd" * 32), None)
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["hostname"]


def test_the_images_own_files_are_left_to_it(tmp_path: Path) -> None:
    names.write(tmp_path, container(own_netns=True, use_image_hosts=True, use_image_resolv_conf=True), STATUS)
    assert [path.name for path in tmp_path.iterdir()] == ["hostname"]
