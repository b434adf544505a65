"""What image and options make of a container: its process, its names, its rights and limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pyodcr import jsonio
from pyodcr.errors import PyodcrError, Unsupported, UsageError
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults

from .conftest import ID, Make


def _of_image(image: ImageDefaults, host: Host, **options: Any) -> ContainerConfig:
    return build(CreateOptions(image="redis", **options), image, host)


def _env(config: ContainerConfig) -> dict[str, str]:
    return dict(word.split("=", 1) for word in config.spec["process"]["env"])


def test_the_image_is_what_was_not_asked_otherwise(image: ImageDefaults, host: Host) -> None:
    config = _of_image(image, host)
    assert config.spec["process"]["args"] == ["docker-entrypoint.sh", "redis-server"]
    assert config.spec["process"]["cwd"] == "/data"
    assert (config.user, config.image_id, config.raw_image_name) == ("redis", "d" * 64, "redis")
    assert config.create_working_dir
    assert (config.id, config.name, config.runtime) == (ID, "keen_nansen", "crun")
    assert config.spec["hostname"] == ID[:12]


@pytest.mark.parametrize(
    ("options", "args"),
    [
        ({"command": ("redis-cli",)}, ["docker-entrypoint.sh", "redis-cli"]),
        ({"entrypoint": ("sh", "-c")}, ["sh", "-c"]),
        ({"entrypoint": (), "command": ("id",)}, ["id"]),
        ({"entrypoint": ("",), "command": ("id",)}, ["id"]),
    ],
)
def test_a_new_entry_point_does_without_the_images_command(
    image: ImageDefaults, host: Host, options: dict[str, Any], args: list[str]
) -> None:
    assert _of_image(image, host, **options).spec["process"]["args"] == args


def test_nothing_to_run_is_an_error(make: Make) -> None:
    with pytest.raises(UsageError, match="no command or entrypoint provided, and no CMD or ENTRYPOINT from image"):
        make(command=())


def test_the_environment_by_precedence(image: ImageDefaults, host: Host) -> None:
    config = _of_image(
        image,
        host,
        env=("MINE=1", "TOKEN", "ABSENT", "LC_*", "EMPTY="),
        unset_env=("REDIS_VERSION",),
        environ={"TOKEN": "t", "LC_ALL": "C", "SECRET": "s"},
        tty=True,
    )
    assert _env(config) == {
        "PATH": "/opt/redis/bin:/bin",
        "container": "oci",
        "TERM": "xterm",
        "MINE": "1",
        "TOKEN": "t",
        "LC_ALL": "C",
        "EMPTY": "",
        "HOSTNAME": ID[:12],
    }


def test_the_hosts_environment_only_when_asked(make: Make) -> None:
    assert _env(make(env_host=True, environ={"SECRET": "s"}))["SECRET"] == "s"
    assert "SECRET" not in _env(make(environ={"SECRET": "s"}))


def test_bytes_that_are_no_text_are_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="is not valid UTF-8"):
        make(env=(b"X=\xff".decode(errors="surrogateescape"),))


def test_config_reads_back_from_its_json(image: ImageDefaults, host: Host) -> None:
    config = _of_image(image, host, publish=("8080:6379",), labels=("a=b",), volumes=("v:/v",))
    assert jsonio.decode(ContainerConfig, jsonio.loads(jsonio.dumps(jsonio.encode(config)))) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workdir": "data"}, 'the working directory "data" must be an absolute path'),
        ({"name": "a b"}, "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument"),
        ({"labels": ("=x",)}, 'invalid label format: "=x"'),
        ({"annotations": ("x",)}, 'annotations must be formatted KEY=VALUE, not "x"'),
        ({"annotations": ("org.criu.config=/x",)}, "the annotation org.criu.config cannot be set"),
        ({"env": ("=x",)}, 'invalid variable: "=x"'),
        ({"umask": "888"}, "invalid umask string 888"),
        ({"timezone": "Mars/Base"}, "finding timezone: unknown time zone Mars/Base"),
        ({"timezone": "../../etc/passwd"}, "finding timezone: unknown time zone ../../etc/passwd"),
        ({"userns": "auto"}, "user namespaces are not supported (--userns auto)"),
        ({"cgroups": "sometimes"}, 'invalid cgroup mode "sometimes"'),
        ({"cgroup_parent": "user.slice"}, "systemd slice received as cgroup parent when using cgroupfs"),
        ({"hostname": "h" * 65}, f'the hostname "{"h" * 65}" is longer than 64 characters'),
        ({"oom_score_adj": 2000}, "invalid value 2000 for --oom-score-adj: it must be between -1000 and 1000"),
        ({"image": "/rootfs:idmap"}, '"idmap" is not supported with --rootfs'),
        ({"image": ""}, "must set root filesystem source to either image or rootfs"),
    ],
)
def test_what_makes_no_sense_gets_one_clear_line(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        make(**options)
    assert caught.value.message == message


def test_a_container_without_a_cgroup_could_not_be_frozen(make: Make) -> None:
    with pytest.raises(Unsupported):
        make(cgroups="disabled")


def test_a_root_filesystem_of_the_host(make: Make) -> None:
    config = make(image="/srv/tree:O")
    assert (config.rootfs, config.rootfs_overlay, config.image_id) == ("/srv/tree", True, "")


def test_podmans_annotations_tell_what_was_asked(make: Make) -> None:
    config = make(
        rm=True,
        privileged=True,
        publish_all=True,
        pids_limit=7,
        cpuset_cpus="0-1",
        annotations=("mine=1",),
        security_opt=("label=type:t", "label=level:s0", "seccomp=unconfined"),
    )
    assert config.auto_remove
    assert config.spec["annotations"] == {
        "mine": "1",
        "io.podman.annotations.autoremove": "TRUE",
        "io.podman.annotations.privileged": "TRUE",
        "io.podman.annotations.publish-all": "TRUE",
        "io.podman.annotations.pids-limit": "7",
        "io.podman.annotations.cpuset": "0-1",
        "io.podman.annotations.label": "type:t,label=level:s0",
        "io.podman.annotations.seccomp": "unconfined",
        "io.container.manager": "libpod",
        "org.opencontainers.image.stopSignal": "15",
    }


# -- rights


def _capabilities(config: ContainerConfig) -> dict[str, list[str]]:
    return dict(config.spec["process"]["capabilities"])


def test_root_holds_the_default_capabilities(make: Make) -> None:
    found = _capabilities(make())
    assert found["bounding"] == found["effective"] == found["permitted"]
    assert "CAP_CHOWN" in found["bounding"]
    assert "CAP_SYS_ADMIN" not in found["bounding"]
    assert found["inheritable"] == found["ambient"] == []


def test_another_user_holds_only_what_was_added(make: Make) -> None:
    found = _capabilities(make(user="1000:1000", cap_add=("net_admin",)))
    assert "CAP_CHOWN" in found["bounding"]
    assert found["effective"] == found["ambient"] == found["inheritable"] == ["CAP_NET_ADMIN"]


def test_adding_and_dropping_all(make: Make) -> None:
    assert _capabilities(make(cap_drop=("all",), cap_add=("CAP_KILL",)))["bounding"] == ["CAP_KILL"]
    everything = _capabilities(make(cap_add=("ALL",), cap_drop=("SYS_ADMIN",)))["bounding"]
    assert "CAP_NET_ADMIN" in everything
    assert "CAP_SYS_ADMIN" not in everything


def test_nothing_is_given_that_we_do_not_have(make: Make) -> None:
    mine = ("CAP_CHOWN", "CAP_KILL")
    assert _capabilities(make(kernel_capabilities=mine))["bounding"] == ["CAP_CHOWN", "CAP_KILL"]
    assert _capabilities(make(kernel_capabilities=mine, privileged=True))["effective"] == ["CAP_CHOWN", "CAP_KILL"]


@pytest.mark.parametrize(
    ("add", "drop", "message"),
    [
        (("FLY",), (), '"CAP_FLY": unknown capability'),
        (("KILL",), ("CAP_KILL",), 'capability "CAP_KILL" cannot be dropped and added'),
        (("ALL",), ("ALL",), "adding all caps and removing all caps not allowed"),
    ],
)
def test_capabilities_that_make_no_sense(make: Make, add: tuple[str, ...], drop: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(cap_add=add, cap_drop=drop)
    assert caught.value.message == message


def test_privileged_means_no_masks_and_a_writable_sys(make: Make) -> None:
    linux = make(privileged=True).spec["linux"]
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & linux.keys()
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    mounts = {mount["destination"]: mount["options"] for mount in make(privileged=True).spec["mounts"]}
    assert "rw" in mounts["/sys"]
    assert "rw" in mounts["/sys/fs/cgroup"]


def test_security_options(make: Make) -> None:
    config = make(
        security_opt=(
            "no-new-privileges",
            "mask=/proc/foo:/sys/bar",
            "unmask=/proc/k*:/sys/fs/cgroup",
            "proc-opts=nosuid,hidepid=2",
            "label=disable",
        ),
        kernel_selinux=True,
    )
    linux = config.spec["linux"]
    assert config.spec["process"]["noNewPrivileges"] is True
    assert {"/proc/foo", "/sys/bar"} <= set(linux["maskedPaths"])
    assert "/proc/kcore" not in linux["maskedPaths"]
    assert "/proc/acpi" in linux["maskedPaths"]
    mounts = {mount["destination"]: mount["options"] for mount in config.spec["mounts"]}
    assert mounts["/proc"] == ["nosuid", "hidepid=2"]
    assert "rw" in mounts["/sys/fs/cgroup"]
    assert config.label_options == ("disable",)


def test_everything_may_be_unmasked(make: Make) -> None:
    assert "maskedPaths" not in make(security_opt=("unmask=ALL",)).spec["linux"]
    assert "readonlyPaths" not in make(security_opt=("systempaths=unconfined",)).spec["linux"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("seccomp", 'invalid --security-opt: "seccomp"'),
        ("magic=1", 'invalid --security-opt: "magic=1"'),
        ("no-new-privileges=maybe", 'invalid --security-opt: "no-new-privileges=maybe"'),
        ("label=nested", "the security option label=nested is not supported"),
        ("apparmor=mine", 'apparmor profile "mine" specified, but AppArmor is not enabled on this system'),
        ("mask=proc", 'invalid --security-opt: the path to mask "proc" is not absolute'),
    ],
)
def test_security_options_that_make_no_sense(make: Make, option: str, message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        make(security_opt=(option,))
    assert caught.value.message == message


def test_an_apparmor_profile_where_there_is_apparmor(make: Make) -> None:
    process = make(security_opt=("apparmor:mine",), kernel_apparmor=True).spec["process"]
    assert process["apparmorProfile"] == "mine"
    assert "apparmorProfile" not in make(security_opt=("apparmor=unconfined",)).spec["process"]


# -- limits


def _resources(config: ContainerConfig) -> dict[str, Any]:
    found = dict(config.spec["linux"]["resources"])
    del found["devices"]
    return found


def test_limits(make: Make) -> None:
    config = make(
        memory="64m",
        memory_reservation="32m",
        cpus="1.5",
        cpu_shares=512,
        cpuset_cpus="0-1,3",
        blkio_weight=300,
        pids_limit=-1,
        oom_score_adj=100,
    )
    assert _resources(config) == {
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20},
        "cpu": {"shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0-1,3"},
        "blockIO": {"weight": 300},
        "pids": {"limit": -1},
    }
    assert config.spec["process"]["oomScoreAdj"] == 100


def test_without_limits_only_processes_are_counted(make: Make) -> None:
    assert _resources(make()) == {"pids": {"limit": 2048}}


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        ({"memory": "1g", "memory_swap": "-1"}, {"limit": 1 << 30}),
        ({"memory": "1g", "memory_swap": "3g"}, {"limit": 1 << 30, "swap": 3 << 30}),
        ({"memory": "1g", "kernel_swap_limit": False}, {"limit": 1 << 30}),
    ],
)
def test_swap(make: Make, options: dict[str, Any], memory: dict[str, int]) -> None:
    assert _resources(make(**options))["memory"] == memory


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "much"}, "invalid value for memory: invalid size: 'much'"),
        (
            {"memory_swap": "1g"},
            "you should always set the memory limit when using memoryswap limit, see usage",
        ),
        (
            {"memory": "1g", "memory_swap": "512m"},
            "minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory": "1m", "memory_reservation": "2m"},
            "minimum memory limit cannot be less than memory reservation limit, see usage",
        ),
        ({"cpus": "1", "cpu_quota": 1000}, "--cpu-quota and --cpus cannot be set together"),
        ({"cpus": "1", "cpu_period": 1000}, "--cpu-period and --cpus cannot be set together"),
        ({"cpus": "nan"}, 'invalid value "nan" for --cpus'),
        ({"cpus": "-1"}, 'invalid value "-1" for --cpus'),
        ({"cpuset_mems": "all"}, 'invalid value "all" for --cpuset-mems'),
        ({"blkio_weight": 5}, "range of blkio weight is from 10 to 1000, not 5"),
        ({"pids_limit": -2}, "the pids limit must be -1 (unlimited) or more, not -2"),
        ({"shm_size": "x"}, "invalid value for shm-size: invalid size: 'x'"),
    ],
)
def test_limits_that_make_no_sense(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(**options)
    assert caught.value.message == message


def test_how_it_ends(make: Make, image: ImageDefaults, host: Host) -> None:
    config = make(stop_signal="SIGRTMIN+3", stop_timeout_s=0, restart="on-failure:5")
    assert (config.stop_signal, config.stop_timeout_s) == (37, 0)
    assert (config.restart_policy, config.restart_retries) == ("on-failure", 5)
    assert (make().stop_signal, make().stop_timeout_s) == (15, 10)
    assert make(stop_timeout_s=-1).stop_timeout_s == 2**32 - 1
    assert _of_image(replace(image, stop_signal="SIGQUIT"), host).stop_signal == 3
