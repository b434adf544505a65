"""The config.json of one start."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyodcr.errors import NotFound, Unsupported
from pyodcr.lifecycle.models import ContainerConfig, NamedVolume, OverlayVolume
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults
from pyodcr.lifecycle.spec.finalize import HostChange, Place, finalize, host_changes
from pyodcr.lifecycle.spec.users import UserInfo

from .conftest import ID, Make

GOLDEN = Path(__file__).with_name("golden")


def _by_destination(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = {mount["destination"]: mount for mount in spec["mounts"]}
    assert len(found) == len(spec["mounts"])
    return found


def test_the_whole_of_it(
    host: Host, image: ImageDefaults, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a Redis with a volume, a directory of the host and limits is started with; the seccomp rules left out."""
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NODEV))
    options = CreateOptions(
        image="redis",
        name="cache",
        volumes=("conf:/etc/redis:ro", f"{tmp_path}:/srv/in:ro"),
        tmpfs=("/tmp",),
        memory="64m",
        env=("MODE=test",),
        ulimits=("nofile=1024:2048",),
        sysctls=("net.core.somaxconn=512",),
        networks=("front:ip=10.1.0.5",),
    )
    config = build(options, image, host)
    spec = finalize(
        config,
        replace(
            place,
            user=UserInfo(999, 1000, (1000, 29), "/var/lib/redis", "redis"),
            binds={
                "/etc/hosts": Path("/run/pyodcr/hosts"),
                "/dev/shm": Path("/var/lib/pyodcr/shm"),
                "/run/.containerenv": Path("/run/pyodcr/.containerenv"),
            },
            volumes={volume.name: Path("/volumes", volume.dest.strip("/")) for volume in config.named_volumes},
        ),
    )
    del spec["linux"]["seccomp"]["syscalls"]
    text = json.dumps(spec, indent=2).replace(str(tmp_path), "/host/dir") + "\n"
    assert text == (GOLDEN / "redis.json").read_text()


def test_the_config_is_left_as_it_was(make: Make, place: Place) -> None:
    config = make(volumes=("v:/v",))
    before = json.dumps(config.spec)
    finalize(config, replace(place, volumes={config.named_volumes[0].name: Path("/v")}))
    assert json.dumps(config.spec) == before


def test_parents_are_mounted_before_what_lies_below_them(make: Make, place: Place, tmp_path: Path) -> None:
    config = make(volumes=(f"{tmp_path}:/a/b/c", "v:/a"), tmpfs=("/a/b",))
    destinations = list(_by_destination(finalize(config, replace(place, volumes={"v": Path("/v")}))))
    assert destinations.index("/a") < destinations.index("/a/b") < destinations.index("/a/b/c")
    assert destinations.index("/dev") < destinations.index("/dev/pts")


def test_a_users_mount_is_not_covered_by_a_file_of_ours(make: Make, place: Place, tmp_path: Path) -> None:
    config = make(volumes=(f"{tmp_path}:/etc/hosts",))
    spec = finalize(config, replace(place, binds={"/etc/hosts": Path("/ours")}))
    assert _by_destination(spec)["/etc/hosts"]["source"] == str(tmp_path)


def test_no_file_of_ours_is_made_in_the_hosts_run(make: Make, place: Place, tmp_path: Path) -> None:
    ours = replace(place, binds={"/run/.containerenv": Path("/ours")})
    assert "/run/.containerenv" in _by_destination(finalize(make(tmpfs=("/run",)), ours))
    assert "/run/.containerenv" not in _by_destination(finalize(make(volumes=(f"{tmp_path}:/run",)), ours))


def test_a_volume_may_lie_on_a_default_mount(make: Make, place: Place) -> None:
    spec = finalize(make(volumes=("v:/dev/mqueue",)), replace(place, volumes={"v": Path("/v")}))
    assert _by_destination(spec)["/dev/mqueue"]["source"] == "/v"


def test_overlays_and_labels(make: Make, place: Place, tmp_path: Path) -> None:
    config = replace(make(volumes=(f"{tmp_path}:/src:O",)), process_label="p:s0", mount_label="m:s0")
    spec = finalize(config, replace(place, overlays={"/src": Path("/merged-src")}))
    assert _by_destination(spec)["/src"]["source"] == "/merged-src"
    assert (spec["process"]["selinuxLabel"], spec["linux"]["mountLabel"]) == ("p:s0", "m:s0")


def test_options_of_ours_are_acted_on_and_gone(make: Make, place: Place, tmp_path: Path) -> None:
    config = make(volumes=(f"{tmp_path}:/in:z,U,ro", "v:/v:Z,nocopy"), tmpfs=("/t:U",))
    spec = finalize(config, replace(place, volumes={"v": Path("/v")}, user=UserInfo(7, 8, (), "/", "")))
    mounts = _by_destination(spec)
    assert not {"z", "Z", "U", "nocopy"} & {option for mount in spec["mounts"] for option in mount["options"]}
    assert {"uid=7", "gid=8"} <= set(mounts["/t"]["options"])
    assert host_changes(config) == (HostChange(tmp_path, chown=True, relabel="shared"),)


def test_shared_mounts_make_the_root_shared(make: Make, place: Place) -> None:
    assert finalize(make(volumes=("/tmp:/x:rshared",)), place)["linux"]["rootfsPropagation"] == "shared"
    assert finalize(make(volumes=("/tmp:/x:slave",)), place)["linux"]["rootfsPropagation"] == "rslave"
    assert "rootfsPropagation" not in finalize(make(), place)["linux"]


@pytest.mark.parametrize(
    ("options", "hosts", "shm"),
    [
        ({}, [], ["nosuid", "noexec", "nodev"]),
        ({"read_only": True}, ["ro", "nosuid", "noexec", "nodev"], ["nosuid", "noexec", "nodev"]),
        (
            {"read_only": True, "read_only_tmpfs": False},
            ["ro", "nosuid", "noexec", "nodev"],
            ["nosuid", "noexec", "nodev", "ro"],
        ),
    ],
)
def test_our_files_in_a_read_only_root(
    make: Make, place: Place, options: dict[str, Any], hosts: list[str], shm: list[str]
) -> None:
    binds = {"/etc/hosts": Path("/hosts"), "/dev/shm": Path("/shm")}
    mounts = _by_destination(finalize(make(**options), replace(place, binds=binds)))
    assert mounts["/etc/hosts"]["options"] == ["bind", "rprivate", *hosts]
    assert mounts["/dev/shm"]["options"] == ["bind", "rprivate", *shm]


def test_where_no_dev_shm_shall_be_there_is_none(make: Make, place: Place) -> None:
    spec = finalize(make(ipc="none"), replace(place, binds={"/dev/shm": Path("/shm")}))
    assert "/dev/shm" not in _by_destination(spec)


def test_namespaces_of_other_containers(make: Make, place: Place, others: dict[str, ContainerConfig]) -> None:
    others["db"] = make(hostname="dbhost")
    config = make(networks=("container:db",), uts="container:db", pid="container:db")
    paths = {"network": "/proc/7/ns/net", "uts": "/proc/7/ns/uts", "pid": "/proc/7/ns/pid"}
    spec = finalize(config, replace(place, netns=None, namespaces=paths))
    found = {entry["type"]: entry.get("path") for entry in spec["linux"]["namespaces"]}
    assert {kind: found[kind] for kind in paths} == paths
    assert found["ipc"] is None
    assert "hostname" not in spec
    with pytest.raises(NotFound, match="shares the uts namespace of a container that does not run"):
        finalize(config, replace(place, namespaces={"network": "x", "pid": "y"}))


def test_what_is_not_there_yet_is_named(make: Make, place: Place) -> None:
    with pytest.raises(NotFound, match="container keen_nansen has no network namespace yet"):
        finalize(make(), replace(place, netns=None))
    with pytest.raises(NotFound, match="the volume v of container keen_nansen is not mounted"):
        finalize(make(volumes=("v:/v",)), place)
    config = replace(make(), overlay_volumes=(OverlayVolume(dest="/o", source="/s"),))
    with pytest.raises(NotFound, match="the overlay for /o of container keen_nansen is not mounted"):
        finalize(config, place)


def test_a_part_of_a_volume_is_refused(make: Make, place: Place) -> None:
    config = replace(make(), named_volumes=(NamedVolume(name="v", dest="/v", sub_path="../.."),))
    with pytest.raises(Unsupported):
        finalize(config, place)


def test_home_is_the_users_own_or_as_asked(make: Make, place: Place) -> None:
    assert "HOME=/root" in finalize(make(), place)["process"]["env"]
    asked = finalize(make(env=("HOME=/elsewhere",)), place)["process"]["env"]
    assert [word for word in asked if word.startswith("HOME=")] == ["HOME=/elsewhere"]


def test_a_privileged_container_has_the_hosts_devices_and_its_own(make: Make, place: Place) -> None:
    spec = finalize(make(privileged=True, devices=("/dev/null:/dev/mine",)), place)
    paths = [node["path"] for node in spec["linux"]["devices"]]
    assert {"/dev/null", "/dev/mine"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_only_we_name_criu_a_configuration(make: Make, place: Place) -> None:
    spec = finalize(make(), place)
    assert spec["annotations"]["org.criu.config"] == "/var/lib/pyodcr/criu.conf"
    assert spec["linux"]["cgroupsPath"] == f"/pyodcr/{ID}"
    assert spec["process"]["user"] == {"uid": 0, "gid": 0, "umask": 0o022}
