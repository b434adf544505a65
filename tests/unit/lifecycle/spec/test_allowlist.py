"""A foreign spec: what comes through, what does not, and that everything left out is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyodcr.errors import ArchiveInvalid
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.spec import allowlist, devices
from pyodcr.lifecycle.spec.allowlist import rebuild
from pyodcr.lifecycle.spec.finalize import Place, finalize

from .conftest import Make

Spec = dict[str, Any]


@pytest.fixture
def spec(make: Make, place: Place) -> Spec:
    """An honest spec.dump, as another host would export it."""
    binds = {"/etc/hosts": Path("/run/hosts"), "/dev/shm": Path("/shm"), "/etc/resolv.conf": Path("/run/resolv.conf")}
    spec = finalize(make(tmpfs=("/t:size=1m",), cap_add=("NET_RAW",)), replace(place, binds=binds))
    return dict(json.loads(json.dumps(spec)))


HONEST = (
    "linux.cgroupsPath",
    "path of the network namespace /run/pyodcr/netns/x",
    "root.path /merged",
    "annotation org.criu.config",
)


def test_an_honest_spec_loses_only_its_place(spec: Spec) -> None:
    rebuilt, dropped = rebuild(spec)
    assert dropped == HONEST
    assert rebuilt["process"] == spec["process"]
    assert rebuilt["hostname"] == spec["hostname"]
    assert rebuilt["linux"]["seccomp"] == spec["linux"]["seccomp"]
    assert rebuilt["linux"]["maskedPaths"] == spec["linux"]["maskedPaths"]
    assert {mount["destination"] for mount in spec["mounts"]} - {
        mount["destination"] for mount in rebuilt["mounts"]
    } == {
        "/etc/hosts",
        "/etc/resolv.conf",
        "/dev/shm",
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read_only": True, "user": "7:8", "cap_add": ("SYS_ADMIN",), "hostname": "h"},
        {"devices": ("/dev/null:/dev/mine:r",), "sysctls": ("net.core.somaxconn=1",), "memory": "64m"},
        {"privileged": True},
        {"networks": ("host",)},
        {"volumes": ("/tmp:/in:ro", "vol:/vol"), "tty": True},
    ],
)
def test_an_import_makes_the_container_it_was(make: Make, place: Place, options: dict[str, Any]) -> None:
    """finalize after rebuild is finalize, once the importer has said what may reach out of the container."""
    config = make(**options)
    place = replace(place, binds={"/etc/hosts": Path("/h"), "/dev/shm": Path("/s")}, volumes={"vol": Path("/vol")})
    if config.network_mode == "host":
        place = replace(place, netns=None)
    exported = finalize(config, place)
    rebuilt, _ = rebuild(
        json.loads(json.dumps(exported)),
        binds={destination: Path(source) for destination, source in allowlist.bind_mounts(exported).items()},
        remade=[volume.dest for volume in config.named_volumes],
        devices=[devices.parse(text) for text in options.get("devices", ())],
        shared=("cgroup", "network"),
        privileged=config.privileged,
    )
    again = finalize(replace(config, spec=rebuilt), place)
    key = lambda mount: mount["destination"]  # noqa: E731
    assert sorted(again.pop("mounts"), key=key) == sorted(exported.pop("mounts"), key=key)
    for each in (again, exported):
        each["linux"]["namespaces"].sort(key=lambda entry: entry["type"])
    assert again == exported


Change = Callable[[Spec], None]


def _hooks(spec: Spec) -> None:
    spec["hooks"] = {"prestart": [{"path": "/bin/sh"}]}


def _annotations(spec: Spec) -> None:
    spec["annotations"] |= {"run.oci.handler": "x", "org.systemd.property.ExecStop": "x", "mine": "x"}


def _host_root(spec: Spec) -> None:
    spec["mounts"].append({"destination": "/host", "type": "bind", "source": "/", "options": ["rbind"]})


def _disguised_bind(spec: Spec) -> None:
    spec["mounts"].append({"destination": "/host", "type": "tmpfs", "source": "/", "options": ["bind"]})


def _untyped_bind(spec: Spec) -> None:
    spec["mounts"].append({"destination": "/host", "source": "/", "options": []})


def _disk(spec: Spec) -> None:
    spec["mounts"].append({"destination": "/disk", "type": "ext4", "source": "/dev/sda1", "options": []})


def _overlay(spec: Spec) -> None:
    spec["mounts"].append(
        {"destination": "/o", "type": "overlay", "source": "overlay", "options": ["lowerdir=/etc:/root"]}
    )


def _option_with_a_path(spec: Spec) -> None:
    spec["mounts"].append(
        {"destination": "/o", "type": "tmpfs", "source": "/dev/sda", "options": ["upperdir=/x", "ro"]}
    )


def _second_proc(spec: Spec) -> None:
    spec["mounts"].append({"destination": "//proc/x/../", "type": "tmpfs", "source": "tmpfs", "options": []})


def _device(spec: Spec) -> None:
    spec["linux"]["devices"] = [{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]


def _disguised_device(spec: Spec) -> None:
    spec["linux"]["devices"] = [{"path": "/dev/null", "type": "b", "major": 8, "minor": 0}]


def _device_rule(spec: Spec) -> None:
    spec["linux"]["resources"]["devices"].append({"allow": True, "access": "rwm"})


def _namespace_path(spec: Spec) -> None:
    spec["linux"]["namespaces"] = [{"type": "mount", "path": "/proc/1/ns/mnt"}, {"type": "user"}]


def _unknown_linux(spec: Spec) -> None:
    spec["linux"] |= {"netDevices": {"eth0": {}}, "intelRdt": {}, "uidMappings": [], "rootfsPropagation": "shared"}
    spec["linux"]["seccomp"]["listenerPath"] = "/run/docker.sock"
    spec["linux"]["resources"]["unified"] = {"../../x": "1"}
    spec["linux"]["resources"]["hugepageLimits"] = [
        {"pageSize": "/../../x", "limit": 1},
        {"pageSize": "2MB", "limit": 1},
    ]


def _host_sysctl(spec: Spec) -> None:
    spec["linux"]["sysctl"] = {"kernel.core_pattern": "|/bin/sh", "net.a": "1"}


def _capability(spec: Spec) -> None:
    spec["process"]["capabilities"]["bounding"].append("CAP_MAGIC")


def _process_extra(spec: Spec) -> None:
    spec["process"] |= {"scheduler": {"policy": "SCHED_FIFO"}, "commandLine": "x"}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (_hooks, ["hooks"]),
        (_annotations, ["annotation run.oci.handler", "annotation org.systemd.property.ExecStop", "annotation mine"]),
        (_host_root, ["bind mount of / on /host"]),
        (_disguised_bind, ["bind mount of / on /host"]),
        (_untyped_bind, ["bind mount of / on /host"]),
        (_disk, ["mount of type ext4 on /disk"]),
        (_overlay, ["mount of type overlay on /o"]),
        (_option_with_a_path, ["mount option upperdir=/x of /o"]),
        (_second_proc, ["second mount on /proc"]),
        (_device, ["device /dev/sda (b 8:0)"]),
        (_disguised_device, ["device /dev/null (b 8:0)"]),
        (_device_rule, ["access to devices a *:* rwm"]),
        (
            _namespace_path,
            [
                "path of the mount namespace /proc/1/ns/mnt",
                "user namespace",
                "the pid namespace of the host",
                "the network namespace of the host",
            ],
        ),
        (
            _unknown_linux,
            [
                "linux.netDevices",
                "linux.intelRdt",
                "linux.uidMappings",
                "linux.rootfsPropagation",
                "linux.seccomp.listenerPath",
                "linux.resources.unified",
                "limit of huge pages /../../x",
            ],
        ),
        (_host_sysctl, ["sysctl kernel.core_pattern"]),
        (_capability, ["capability CAP_MAGIC (bounding)"]),
        (_process_extra, ["process.scheduler", "process.commandLine"]),
    ],
)
def test_what_reaches_out_of_the_container_is_left_out_and_told(spec: Spec, change: Change, lines: list[str]) -> None:
    honest, _ = rebuild(spec)
    change(spec)
    rebuilt, dropped = rebuild(spec)
    assert set(lines) <= set(dropped)
    if change not in (_option_with_a_path, _host_sysctl, _namespace_path, _unknown_linux):
        assert rebuilt == honest


def test_a_mount_of_a_known_kind_names_no_source(spec: Spec) -> None:
    _option_with_a_path(spec)
    assert rebuild(spec)[0]["mounts"][-1] == {
        "destination": "/o",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["ro"],
    }


def test_the_importer_gives_sources(spec: Spec) -> None:
    _host_root(spec)
    assert allowlist.bind_mounts(spec) == {"/host": "/"}
    mounts = rebuild(spec, binds={"/host": Path("/srv/data")})[0]["mounts"]
    assert mounts[-1] == {"destination": "/host", "type": "bind", "source": "/srv/data", "options": ["rbind"]}
    assert "bind mount of / on /host" not in rebuild(spec, remade=["/host"])[1]


def test_namespaces_shared_with_the_host_are_the_importers_to_allow(spec: Spec) -> None:
    spec["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
    spec["linux"]["sysctl"] = {"net.a": "1"}
    rebuilt, dropped = rebuild(spec, shared=("network", "ipc", "uts", "cgroup"))
    assert rebuilt["linux"]["namespaces"] == [{"type": "mount"}, {"type": "pid"}]
    assert "sysctl net.a" in dropped
    assert len(rebuild(spec)[0]["linux"]["namespaces"]) == 5


Break = Callable[[Spec], object]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda spec: spec.pop("process"), "there is no process"),
        (lambda spec: spec.pop("linux"), "there is no linux"),
        (lambda spec: spec["process"].pop("args"), "there is no process.args"),
        (lambda spec: spec["process"].update(args="sh"), "process.args is not a list"),
        (lambda spec: spec["process"].update(args=["sh", 1]), "process.args[1] is not text"),
        (lambda spec: spec["process"].update(cwd="\0"), "process.cwd is not text"),
        (lambda spec: spec.update(hostname="\ud800"), "hostname is not text"),
        (lambda spec: spec["process"]["user"].update(uid=True), "process.user.uid is not a whole number"),
        (lambda spec: spec["process"]["user"].update(uid=2**64), "process.user.uid is not a whole number"),
        (lambda spec: spec["process"].update(terminal="no"), "process.terminal is not true or false"),
        (lambda spec: spec.update(mounts={}), "mounts is not a list"),
        (lambda spec: spec.update(linux=[]), "linux is not an object"),
        (lambda spec: spec["mounts"].append({"destination": "x"}), 'a mount has the destination "x"'),
        (lambda spec: spec["mounts"].append({"destination": "/.."}), 'a mount has the destination "/.."'),
        (lambda spec: spec["linux"]["sysctl"].update({"net.a": 1}), "linux.sysctl[net.a] is not text"),
    ],
)
def test_what_is_no_spec_is_refused(spec: Spec, broken: Break, message: str) -> None:
    spec["linux"].setdefault("sysctl", {})
    broken(spec)
    with pytest.raises(ArchiveInvalid) as caught:
        rebuild(spec)
    assert caught.value.message == f"spec.dump: {message}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_value_anywhere_breaks_it(spec: Spec, data: st.DataObject) -> None:
    """Put any JSON value at any place: it comes through clean, or is refused as a bad archive."""
    foreign = copy.deepcopy(spec)
    holder: Any = foreign
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = data.draw(_JSON)
    try:
        rebuilt, _ = rebuild(foreign)
    except ArchiveInvalid:
        return
    json.dumps(rebuilt).encode()
    assert rebuilt.keys() <= {
        "ociVersion",
        "process",
        "root",
        "mounts",
        "annotations",
        "linux",
        "hostname",
        "domainname",
    }
    assert all(mount["source"] == mount["type"] for mount in rebuilt["mounts"])
    assert ContainerConfig(id="x", name="x", spec=rebuilt).tty in (True, False)
