"""Namespaces, network, names and ports: what is shared with whom."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import NotFound, PyodcrError, UsageError
from pyodcr.lifecycle.models import ContainerConfig, NetworkOptions, PortMapping

from .conftest import ID, Make


def _kinds(config: ContainerConfig) -> dict[str, str]:
    return {entry["type"]: entry.get("path", "") for entry in config.spec["linux"]["namespaces"]}


def test_a_container_has_its_own(make: Make) -> None:
    assert _kinds(make()).keys() == {"mount", "pid", "network", "ipc", "uts", "cgroup"}


def test_on_cgroup_v1_the_hosts_cgroup_namespace_is_kept(make: Make) -> None:
    assert "cgroup" not in _kinds(make(kernel_cgroup_version=1))
    assert "cgroup" in _kinds(make(kernel_cgroup_version=1, cgroupns="private"))


def test_the_hosts_namespaces(make: Make) -> None:
    config = make(pid="host", ipc="host", uts="host", cgroupns="host", networks=("host",))
    assert _kinds(config) == {"mount": ""}
    assert "hostname" not in config.spec
    assert "HOSTNAME=hosta" in config.spec["process"]["env"]
    assert (config.network_mode, config.own_netns, config.networks) == ("host", False, {})
    assert (config.no_shm, config.shm_dir) == (True, "/dev/shm")
    assert [mount["source"] for mount in config.spec["mounts"] if mount["destination"] == "/dev/shm"] == ["/dev/shm"]


def test_another_containers_namespaces(make: Make, others: dict[str, ContainerConfig]) -> None:
    others["db"] = make(hostname="dbhost")
    config = make(pid="container:db", ipc="container:db", uts="container:db", networks=("container:db",))
    assert config.namespace_containers == dict.fromkeys(("pid", "ipc", "uts", "network"), ID)
    assert config.shm_dir == others["db"].shm_dir
    assert "hostname" not in config.spec
    assert "HOSTNAME=dbhost" in config.spec["process"]["env"]
    assert (config.network_mode, config.own_netns) == ("container", False)


def test_a_namespace_by_its_path(make: Make) -> None:
    config = make(networks=("ns:/proc/self/ns/net",))
    assert _kinds(config)["network"] == "/proc/self/ns/net"
    assert (config.network_mode, config.own_netns) == ("ns", False)


def test_an_ipc_namespace_others_may_not_join(make: Make, others: dict[str, ContainerConfig]) -> None:
    others["db"] = make(ipc="private")
    with pytest.raises(UsageError, match=f"joining IPC of container {ID} is not allowed: non-shareable IPC"):
        make(ipc="container:db")


@pytest.mark.parametrize(
    ("options", "no_shm"), [({}, False), ({"ipc": "none"}, True), ({"tmpfs": ("/dev/shm",)}, True)]
)
def test_dev_shm_is_ours_unless_somebody_elses(make: Make, options: dict[str, Any], no_shm: bool) -> None:
    config = make(**options)
    assert (config.no_shm, config.shm_dir == "") == (no_shm, no_shm)


def test_shm_size(make: Make) -> None:
    assert make(shm_size="1m").shm_size_bytes == 1 << 20
    assert make().shm_size_bytes == 65_536_000
    with pytest.raises(UsageError, match="cannot set shmsize when running in the host IPC Namespace"):
        make(shm_size="1m", ipc="host")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pid": "shared"}, "unrecognized namespace mode shared passed"),
        ({"pid": "container:"}, "namespace mode container requires a value"),
        ({"uts": "ns:/no/such"}, "cannot find specified UTS namespace path: /no/such does not exist"),
        ({"hostname": "x", "uts": "host"}, "cannot set hostname when running in the host UTS namespace"),
    ],
)
def test_namespaces_that_make_no_sense(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(**options)
    assert caught.value.message == message


def test_an_unknown_container(make: Make) -> None:
    with pytest.raises(NotFound):
        make(pid="container:nobody")


# -- network


def test_the_default_network(make: Make) -> None:
    config = make()
    assert config.networks == {"pyodcr": NetworkOptions(interface_name="eth0")}
    assert (config.network_mode, config.own_netns) == ("bridge", True)


def test_networks_with_options(make: Make) -> None:
    config = make(
        networks=(
            "front:ip=10.1.0.5,ip6=FD00::5,mac=92-D0-C6-0A-29-33,alias=web,alias=www",
            "back:interface_name=eth0,mode=x",
            "bare",
        )
    )
    assert config.networks == {
        "front": NetworkOptions(
            static_ips=("10.1.0.5", "fd00::5"),
            static_mac="92:d0:c6:0a:29:33",
            aliases=("web", "www"),
            interface_name="eth1",
        ),
        "back": NetworkOptions(interface_name="eth0", options={"mode": "x"}),
        "bare": NetworkOptions(interface_name="eth2"),
    }


@pytest.mark.parametrize("network", ["private", "default", "bridge"])
def test_words_for_the_default_network(make: Make, network: str) -> None:
    assert list(make(networks=(network,)).networks) == ["pyodcr"]


def test_flags_for_the_one_network(make: Make) -> None:
    config = make(ip="10.1.0.5", mac_address="92:d0:c6:0a:29:33", network_aliases=("web",))
    assert config.networks["pyodcr"] == NetworkOptions(
        static_ips=("10.1.0.5",), static_mac="92:d0:c6:0a:29:33", aliases=("web",), interface_name="eth0"
    )


def test_no_network(make: Make) -> None:
    config = make(networks=("none",))
    assert (config.network_mode, config.own_netns) == ("none", True), "runc restores no loopback of its own"
    assert "network" in _kinds(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ("none", "a")}, "cannot set multiple networks without bridge network mode, selected mode none"),
        ({"networks": ("a", "host")}, "can only set extra network names, selected mode host conflicts with bridge"),
        ({"networks": ("a", "")}, "network name cannot be empty"),
        ({"networks": (":ip=1.2.3.4",)}, "network name cannot be empty"),
        ({"networks": ("a:ip=1.2.3",)}, '"1.2.3" is not a valid ip address'),
        ({"networks": ("a:mac=xx",)}, "address xx: invalid MAC address"),
        ({"networks": ("a:alias=",)}, "invalid option for network a: alias cannot be empty"),
        (
            {"networks": ("a:interface_name=x", "b:interface_name=x")},
            'network interface name "x" is already assigned to another network',
        ),
        ({"networks": ("pasta",)}, "network mode pasta is not supported"),
        ({"networks": ("host",), "ip": "1.2.3.4"}, "--ip can only be set when the network mode is bridge"),
        ({"networks": ("a", "b"), "ip": "1.2.3.4"}, "--ip can only be set for a single network"),
        ({"dns": ("1.1.1.1",), "networks": ("none",)}, "conflicting options: dns and the network mode: none"),
        ({"dns": ("google",)}, '"google" is not an ip address'),
        ({"dns_search": ("a b",)}, "a b is not a valid domain"),
        ({"dns_search": (".", "x.org")}, "cannot pass additional search domains when also specifying '.'"),
        ({"add_host": ("a:1.2.3.4",), "no_hosts": True}, "--no-hosts and --add-host cannot be set together"),
        ({"add_host": ("a",)}, 'bad format for add-host: "a"'),
        ({"add_host": ("a;;b:1.2.3.4",)}, 'hostname in add-host "a;;b:1.2.3.4" is empty'),
        ({"add_host": ("a:b",)}, '"b" is not a valid address for --add-host'),
    ],
)
def test_networks_that_make_no_sense(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        make(**options)
    assert caught.value.message == message


def test_names_of_others(make: Make) -> None:
    config = make(
        dns=("1.1.1.1", "::1"),
        dns_search=("x.org",),
        dns_options=("ndots:1",),
        add_host=("a;b:10.0.0.1", "gw:host-gateway", "six:::1"),
    )
    assert (config.dns_servers, config.dns_search, config.dns_options) == (
        ("1.1.1.1", "::1"),
        ("x.org",),
        ("ndots:1",),
    )
    assert config.extra_hosts == ("a;b:10.0.0.1", "gw:host-gateway", "six:::1")


def test_the_images_own_files(make: Make) -> None:
    config = make(dns=("none",), no_hosts=True)
    assert (config.use_image_resolv_conf, config.use_image_hosts, config.dns_servers) == (True, True, ())


# -- ports


def _port(container: int, host: int, count: int = 1, protocol: str = "tcp", ip: str = "") -> PortMapping:
    return PortMapping(host_ip=ip, container_port=container, host_port=host, range=count, protocol=protocol)


@pytest.mark.parametrize(
    ("publish", "mappings"),
    [
        (("8080:80",), [_port(80, 8080)]),
        (("127.0.0.1:8080:80/udp",), [_port(80, 8080, protocol="udp", ip="127.0.0.1")]),
        (("[::1]:8080:80",), [_port(80, 8080, ip="::1")]),
        (("9000-9002:90-92/SCTP",), [_port(90, 9000, 3, "sctp")]),
        (("80",), [_port(80, 40000)]),
        (("127.0.0.1::80",), [_port(80, 40000, ip="127.0.0.1")]),
        (("8001:81", "8000:80"), [_port(80, 8000, 2)]),
        (("8000:80", "8000:80"), [_port(80, 8000)]),
        (("8000-8005:80-85", "8001:81"), [_port(80, 8000, 6)]),
        (("80", "80"), [_port(80, 40000)]),
        (("8000:80", "8000:80/udp"), [_port(80, 8000), _port(80, 8000, protocol="udp")]),
        (("8000:80", "8001:90"), [_port(80, 8000), _port(90, 8001)]),
    ],
)
def test_published_ports(make: Make, publish: tuple[str, ...], mappings: list[PortMapping]) -> None:
    assert list(make(publish=publish).ports) == mappings


@pytest.mark.parametrize(
    ("publish", "message"),
    [
        (("8000:80", "8000:81"), "conflicting port mappings for host port 8000 (protocol tcp)"),
        (("8000-8005:80-85", "8003:80"), "conflicting port mappings for host port 8003 (protocol tcp)"),
        (("0:80",), "port numbers must be between 1 and 65535 (inclusive), got 0"),
        (("99999",), "port numbers must be between 1 and 65535 (inclusive), got 99999"),
        (("http",), 'invalid port number: "http"'),
        (("80/",), 'unrecognized protocol "" in port mapping'),
        (("80/tcp/udp",), 'invalid port format "80/tcp/udp" - protocol can only be specified once'),
        (("1-3:1-2",), "host and container port ranges have different lengths: 3 vs 2"),
        (("3-1:3-1",), "the end port of a range must be higher than the start port - 1 is not higher than 3"),
        ((":80:80",), "must provide a non-empty container host IP to publish"),
        (("1.2.3:80:80",), 'cannot parse "1.2.3" as an IP address'),
        (("80:",), "must provide a non-empty container port to publish"),
        (("[::1]:80",), 'invalid port format "[::1]:80"'),
        (("::1:80:80",), 'invalid port format "::1:80:80"'),
    ],
)
def test_ports_that_make_no_sense(make: Make, publish: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(publish=publish)
    assert caught.value.message == message


def test_all_exposed_ports_but_those_already_published(make: Make) -> None:
    config = make(publish=("8080:80",), expose=("80", "90-91", "90/udp"), publish_all=True)
    assert config.exposed_ports == {"80": ["tcp"], "90": ["tcp", "udp"], "91": ["tcp"]}
    assert list(config.ports) == [
        _port(80, 8080),
        _port(90, 40000),
        _port(90, 40001, protocol="udp"),
        _port(91, 40002),
    ]


def test_ports_need_a_bridge(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert make(networks=("host",), publish=("80:80",)).ports == ()
    assert 'discarded because "host" network namespace mode' in caplog.text


def test_pid_files_are_where_we_were_started(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert make(pid_file="a.pid").pid_file == str(tmp_path / "a.pid")
