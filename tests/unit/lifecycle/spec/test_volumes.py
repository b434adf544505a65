"""-v, --mount, --tmpfs, --volumes-from, and what stays of the default mounts."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyodcr.errors import PyodcrError, UsageError
from pyodcr.lifecycle.models import ContainerConfig, NamedVolume, OverlayVolume
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import mount_options
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults

from .conftest import Make


def _mount(config: ContainerConfig, destination: str) -> dict[str, Any]:
    (found,) = (mount for mount in config.spec["mounts"] if mount["destination"] == destination)
    return dict(found)


def _destinations(config: ContainerConfig) -> list[str]:
    return [mount["destination"] for mount in config.spec["mounts"]]


def test_a_directory_of_the_host(make: Make, tmp_path: Path) -> None:
    mount = _mount(make(volumes=(f"{tmp_path}:/in/../data/:ro,z",)), "/data")
    assert (mount["type"], mount["source"]) == ("bind", str(tmp_path))
    assert {"ro", "z", "rbind", "rprivate"} <= set(mount["options"])


def test_a_relative_directory_begins_with_a_dot(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _mount(make(volumes=("./here:/data",)), "/data")["source"] == str(tmp_path / "here")


def test_the_source_must_exist(make: Make) -> None:
    with pytest.raises(UsageError, match="statfs /no/such: no such file or directory") as caught:
        make(volumes=("/no/such:/data",))
    assert caught.value.code == "no-bind-source"


def test_what_the_source_forbids_is_forbidden_unless_asked_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOSUID | os.ST_NODEV))
    assert {"nosuid", "nodev"} <= set(_mount(make(volumes=("/usb:/x",)), "/x")["options"])
    options = _mount(make(volumes=("/usb:/x:suid",)), "/x")["options"]
    assert ("suid" in options, "nosuid" in options, "nodev" in options) == (True, False, True)


def test_named_and_anonymous_volumes(make: Make) -> None:
    config = make(volumes=("cache:/cache:ro,U", "/scratch"))
    named, anonymous = config.named_volumes
    assert named == NamedVolume(
        name="cache", dest="/cache", options=("ro", "U", "rprivate", "nosuid", "nodev", "rbind")
    )
    assert (len(anonymous.name), anonymous.dest, anonymous.anonymous) == (64, "/scratch", True)
    assert config.user_volumes == ("/cache", "/scratch")


def test_an_overlay_of_a_directory(make: Make, tmp_path: Path) -> None:
    config = make(volumes=(f"{tmp_path}:/src:O,U",))
    assert config.overlay_volumes == (OverlayVolume(dest="/src", source=str(tmp_path), options=("O", "U")),)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (":/x", "host directory cannot be empty"),
        ("a:b", 'invalid container path "b", must be an absolute path'),
        ("a:", "container directory cannot be empty"),
        ("a:/", 'invalid container path "/", nothing can be mounted over the root filesystem'),
        ("a:/x:ro:z", "a:/x:ro:z: incorrect volume format, should be [host-dir:]ctr-dir[:option]"),
        ("a:/x:fast", 'unknown mount option "fast": invalid mount option'),
        ("a:/x:ro,rw", "only one of 'rw' and 'ro' can be used: duplicate mount option passed"),
        ("a:/x:z,Z", "only one of 'z', 'Z' and 'O' can be used: duplicate mount option passed"),
        ("a:/x:shared,slave", "only one of the propagation modes can be used: duplicate mount option passed"),
        ("a:/x:ro,ro", "the 'ro' option can only be set once: duplicate mount option passed"),
        ("a:/x:idmap", "idmapped mounts are not supported"),
        ("a:/x:O", "a named volume cannot be mounted with 'O'"),
        ("/tmp:/x:O,ro", "can't use 'O' with other options"),
        ("a b:/x", 'volume name "a b" is not valid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*'),
    ],
)
def test_volumes_that_make_no_sense(make: Make, volume: str, message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        make(volumes=(volume,))
    assert caught.value.message == message


def test_two_things_cannot_be_in_one_place(make: Make) -> None:
    with pytest.raises(UsageError, match="/data: duplicate mount destination"):
        make(volumes=("a:/data",), tmpfs=("/data/",))


def test_mount_flags(make: Make, tmp_path: Path) -> None:
    config = make(
        mounts=(
            f"type=bind,src={tmp_path},target=/b,readonly,bind-propagation=rslave,relabel=private",
            "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770,notmpcopyup",
            "type=devpts,target=/p,uid=5",
            "source=vol,target=/v,U=true,ro=false",
        )
    )
    assert set(_mount(config, "/b")["options"]) >= {"ro", "rslave", "Z", "rbind"}
    assert _mount(config, "/t")["options"] == ["size=1m", "mode=1770", "rprivate", "nosuid", "nodev"]
    assert _mount(config, "/p") == {"destination": "/p", "type": "devpts", "source": "devpts", "options": ["uid=5"]}
    assert config.named_volumes[0].options[0] == "U"


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("type=bind,src=/tmp", "must set volume destination"),
        ("type=bind,src=,target=/x", "src: must provide an argument for option"),
        ("type=bind,src=/a,source=/b,target=/x", 'cannot pass "source" option more than once'),
        ("type=tmpfs,src=/tmp,target=/x", '"source" option not supported for "tmpfs" mount types'),
        ("type=bind,target=/tmp,tmpfs-size=1", '"tmpfs-size" option not supported for "bind" mount types'),
        ("type=nfs,target=/x", 'invalid filesystem type "nfs"'),
        ("type=image,src=a,target=/x", "mounts of type image are not supported"),
        ("type=volume,src=a,target=/x,subpath=b", "the mount option subpath is not supported"),
        ("type=volume,target=/x,ro=perhaps", "'ro' must be set to true or false, instead received \"perhaps\""),
        ("", "must set volume destination"),
    ],
)
def test_mount_flags_that_make_no_sense(make: Make, mount: str, message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        make(mounts=(mount,))
    assert caught.value.message == message


def test_tmpfs_has_safe_options_and_the_images_content(make: Make) -> None:
    assert _mount(make(tmpfs=("/run:size=64m,exec",)), "/run")["options"] == [
        "size=64m",
        "exec",
        "rprivate",
        "nosuid",
        "nodev",
        "tmpcopyup",
    ]


def test_a_users_mount_takes_the_place_of_ours(make: Make, tmp_path: Path) -> None:
    config = make(volumes=(f"{tmp_path}:/sys/fs/cgroup",))
    assert _destinations(config).count("/sys/fs/cgroup") == 1
    assert _mount(config, "/sys/fs/cgroup")["type"] == "bind"


def test_who_brings_a_dev_brings_all_of_it(make: Make, tmp_path: Path) -> None:
    destinations = _destinations(make(volumes=(f"{tmp_path}:/dev",)))
    assert [path for path in destinations if path.startswith("/dev")] == ["/dev"]


def test_a_kernel_without_message_queues_gets_none(make: Make) -> None:
    assert "/dev/mqueue" not in _destinations(make(kernel_mqueue=False))


def test_a_read_only_root_has_places_to_write(make: Make) -> None:
    config = make(read_only=True, tmpfs=("/run:size=1m",))
    assert config.spec["root"]["readonly"] is True
    assert {"/tmp", "/var/tmp", "/run"} <= set(_destinations(config))
    assert "size=1m" in _mount(config, "/run")["options"]
    assert "ro" not in _mount(config, "/dev")["options"]


def test_unless_it_shall_have_none(make: Make) -> None:
    config = make(read_only=True, read_only_tmpfs=False)
    assert "/tmp" not in _destinations(config)
    assert "ro" in _mount(config, "/dev")["options"]


def test_image_volumes(host: Host, image: ImageDefaults) -> None:
    def with_mode(mode: str, **options: Any) -> ContainerConfig:
        return build(CreateOptions(image="redis", image_volume=mode, **options), image, host)

    assert [volume.dest for volume in with_mode("anonymous").named_volumes] == ["/data"]
    assert _mount(with_mode("tmpfs"), "/data")["type"] == "tmpfs"
    assert with_mode("ignore").named_volumes == ()
    (mine,) = with_mode("anonymous", volumes=("mine:/data",)).named_volumes
    assert mine.name == "mine"
    with pytest.raises(UsageError):
        with_mode("magic")


def test_volumes_of_another_container(make: Make, others: dict[str, ContainerConfig], tmp_path: Path) -> None:
    others["db"] = make(volumes=(f"{tmp_path}:/bind", "vol:/vol", "/anonymous"), tmpfs=("/t",))
    config = make(volumes_from=("db:ro",))
    assert "ro" in _mount(config, "/bind")["options"]
    assert {(each.dest, "ro" in each.options, each.anonymous) for each in config.named_volumes} == {
        ("/vol", True, False),
        ("/anonymous", True, False),
    }
    assert "/t" not in _destinations(config)
    assert config.spec["annotations"]["io.podman.annotations.volumes-from"] == "db:ro"
    with pytest.raises(UsageError, match="volumes from another container can only use z,ro,rw options"):
        make(volumes_from=("db:U",))


def test_the_runtime_never_sees_our_own_words() -> None:
    assert mount_options.for_runtime(["ro", "z", "U", "nocopy", "O", "rbind", "no-dereference"]) == [
        "ro",
        "rbind",
        "copy-symlink",
    ]
