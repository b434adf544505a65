"""The parts of `inspect`: what Podman shows of the same configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.lifecycle.inspection import config, hostconfig, mounts, network
from pyodcr.lifecycle.models import (
    Container,
    ContainerConfig,
    ContainerState,
    NamedVolume,
    NetworkOptions,
    OverlayVolume,
    PortMapping,
)

SPEC: dict[str, Any] = {
    "process": {
        "terminal": True,
        "cwd": "/srv",
        "env": ["A=1"],
        "args": ["nginx"],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_NET_ADMIN"]},
        "noNewPrivileges": True,
        "oomScoreAdj": 7,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 2**64 - 1}],
    },
    "root": {"path": "", "readonly": True},
    "annotations": {"io.podman.annotations.seccomp": "unconfined", "io.podman.annotations.volumes-from": "a;b"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/www", "type": "bind", "source": "/srv/www", "options": ["ro", "rprivate", "rbind", "z"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
    ],
    "linux": {
        "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}, {"type": "uts", "path": "/run/uts"}],
        "maskedPaths": ["/proc/kcore"],
        "resources": {
            "memory": {"limit": 64 << 20, "swap": 128 << 20},
            "cpu": {"period": 100_000, "quota": 50_000, "cpus": "0-1"},
            "pids": {"limit": 2048},
        },
        "devices": [{"path": "/dev/fuse", "type": "c"}],
    },
}
CONFIG = ContainerConfig(
    id="0123456789abcdef" * 4,
    name="web",
    spec=SPEC,
    user="app",
    command=("nginx",),
    labels={"a": "b"},
    own_netns=True,
    networks={"n1": NetworkOptions(aliases=("front",))},
    ports=(PortMapping(container_port=80, host_port=8080), PortMapping(container_port=90, host_port=9000, range=2)),
    exposed_ports={"443": ["tcp"]},
    named_volumes=(NamedVolume(name="data", dest="/data", options=("rprivate", "nosuid")),),
    overlay_volumes=(OverlayVolume(dest="/over", source="/srv/over"),),
    user_volumes=("/www", "/scratch", "/data", "/over"),
    cgroup_parent="/pyodcr",
    stop_signal=3,
    umask="22",
)
STATUS = {
    "n1": {
        "interfaces": {
            "eth0": {
                "subnets": [
                    {"ipnet": "10.1.0.5/16", "gateway": "10.1.0.1"},
                    {"ipnet": "fd00::5/64", "gateway": "fd00::1"},
                ],
                "mac_address": "aa:bb:cc:dd:ee:ff",
            }
        }
    }
}


def host(**changes: Any) -> dict[str, Any]:
    changed = replace(CONFIG, **changes)
    return hostconfig.describe(changed, dict(changed.spec), default_parent="/pyodcr")


def test_config() -> None:
    found = config.describe(CONFIG, SPEC)
    assert (found["Hostname"], found["User"], found["WorkingDir"]) == ("0123456789ab", "app", "/srv")
    assert (found["Tty"], found["Env"], found["Cmd"], found["Entrypoint"]) == (True, ["A=1"], ["nginx"], [])
    assert (found["StopSignal"], found["Umask"], found["Labels"]) == ("SIGQUIT", "0022", {"a": "b"})
    assert sorted(found["ExposedPorts"]) == ["443/tcp", "80/tcp", "90/tcp", "91/tcp"]


def test_mounts() -> None:
    volume, overlay, bind = mounts.describe(CONFIG, {"data": Path("/v/data/_data")})
    assert volume == {
        "Type": "volume",
        "Name": "data",
        "Source": "/v/data/_data",
        "Destination": "/data",
        "Driver": "local",
        "Mode": "",
        "Options": ["nosuid"],
        "RW": True,
        "Propagation": "rprivate",
        "SubPath": "",
    }
    assert (overlay["Source"], overlay["Destination"], overlay["Options"]) == ("/srv/over", "/over", ["O"])
    assert (bind["Type"], bind["RW"], bind["Mode"], bind["Propagation"]) == ("bind", False, "z", "rprivate")
    assert bind["Options"] == ["rbind"]


def test_binds() -> None:
    assert host()["Binds"] == [
        "data:/data:rw,rprivate,nosuid",
        "/srv/over:/over:rw,O",
        "/srv/www:/www:ro,rprivate,rbind,z",
    ]
    assert host()["Tmpfs"] == {"/scratch": "rw,nosuid"}


def test_a_volume_that_is_gone_has_no_source() -> None:
    assert mounts.describe(CONFIG, {})[0]["Source"] == ""


def test_host_config() -> None:
    found = host()
    assert (found["Memory"], found["MemorySwap"], found["NanoCpus"]) == (64 << 20, 128 << 20, 500_000_000)
    assert (found["CpuPeriod"], found["CpuQuota"], found["CpusetCpus"], found["PidsLimit"]) == (
        100_000,
        50_000,
        "0-1",
        2048,
    )
    assert found["CapAdd"] == ["CAP_NET_ADMIN"]
    assert "CAP_KILL" in found["CapDrop"]
    assert "CAP_CHOWN" not in found["CapDrop"]
    assert (found["PidMode"], found["UTSMode"], found["CgroupMode"]) == ("private", "ns:/run/uts", "host")
    assert found["SecurityOpt"] == ["no-new-privileges", "seccomp=unconfined"]
    assert (found["ReadonlyRootfs"], found["OomScoreAdj"], found["VolumesFrom"]) == (True, 7, ["a", "b"])
    assert found["Ulimits"] == [{"Name": "RLIMIT_NOFILE", "Soft": 100, "Hard": -1}]
    assert [device["PathOnHost"] for device in found["Devices"]] == ["/dev/fuse"]
    assert (found["NetworkMode"], found["CgroupParent"]) == ("bridge", "")
    assert found["PortBindings"]["91/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "9001"}]
    assert found["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({}, "shareable"),
        ({"no_shm": True}, "none"),
        ({"extra": {"NOShmShare": True}}, "private"),
        ({"ipc_container": "ff"}, "container:ff"),
    ],
)
def test_ipc_mode(changes: dict[str, Any], mode: str) -> None:
    assert host(**changes)["IpcMode"] == mode


def test_only_an_unusual_cgroup_parent_is_told() -> None:
    assert host(cgroup_parent="/mine")["CgroupParent"] == "/mine"


def settings(**changes: Any) -> dict[str, Any]:
    state = ContainerState(netns="/run/netns/x", network_status=STATUS)
    return network.describe(Container(replace(CONFIG, **changes), state), lambda name: f"id of {name}")


def test_network_settings() -> None:
    found = settings()
    one = found["Networks"]["n1"]
    assert (one["IPAddress"], one["IPPrefixLen"], one["Gateway"]) == ("10.1.0.5", 16, "10.1.0.1")
    assert (one["GlobalIPv6Address"], one["GlobalIPv6PrefixLen"]) == ("fd00::5", 64)
    assert (one["MacAddress"], one["NetworkID"], one["Aliases"]) == ("aa:bb:cc:dd:ee:ff", "id of n1", ["front"])
    assert (found["IPAddress"], found["SandboxKey"]) == ("10.1.0.5", "/run/netns/x")
    assert found["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "90/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9000"}],
        "91/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9001"}],
        "443/tcp": None,
    }


def test_of_several_networks_none_is_the_containers() -> None:
    found = settings(networks={"n1": NetworkOptions(), "n2": NetworkOptions()})
    assert found["IPAddress"] == ""
    assert found["Networks"]["n1"]["IPAddress"] == "10.1.0.5"
    assert found["Networks"]["n2"]["IPAddress"] == ""


def test_without_networks_the_mode_stands_for_one() -> None:
    found = settings(networks={}, own_netns=False, ports=())
    assert list(found["Networks"]) == ["none"]
    assert found["Ports"] == {"443/tcp": None}


def test_a_damaged_status_is_as_none() -> None:
    state = ContainerState(network_status={"n1": {"interfaces": {"eth0": {"subnets": [{"ipnet": "nowhere"}]}}}})
    found = network.describe(Container(CONFIG, state), str)
    assert found["Networks"]["n1"]["IPAddress"] == ""
