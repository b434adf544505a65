"""Finalised specs in the hands of real runtimes: what the container sees of itself."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr import jsonio
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.paths import Paths
from pyodcr.lifecycle.spec import observe, seccomp
from pyodcr.lifecycle.spec.allowlist import rebuild
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host
from pyodcr.lifecycle.spec.finalize import Place, finalize
from pyodcr.lifecycle.spec.users import lookup
from tests.support.box import leaving_nothing

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True)
class Ran:
    config: ContainerConfig
    spec: Mapping[str, Any]
    output: str

    def value(self, name: str) -> str:
        """Of a ``NAME: value`` line, as /proc/PID/status has them."""
        found = re.search(rf"^{name}:\s*(.*)$", self.output, re.MULTILINE)
        assert found, f"no {name} in:\n{self.output}"
        return found[1]


Run = Callable[..., Ran]


@pytest.fixture
def run(runtime: str, tree: Path, tmp_path: Path) -> Iterator[Run]:
    """Run ``sh -c SCRIPT`` in the busybox tree under each runtime, built from options, without a network."""
    numbers = itertools.count()
    root = tmp_path / "rootfs"
    shutil.copytree(tree, root, symlinks=True)  # the runtimes make mount points in it
    root.chmod(0o755)

    def start(script: str, *, imported: bool = False, place: Mapping[str, Any] | None = None, **options: Any) -> Ran:
        host = _host(runtime, tmp_path)
        asked: dict[str, Any] = {"networks": ("none",), "command": ("sh", "-c", script), **options}
        config = build(CreateOptions(image=str(root), rootfs=True, **asked), None, host)
        where = Place(
            rootfs=root,
            cgroups_path=f"/pyodcr/{config.id}",
            criu_config=Path("/dev/null"),
            user=lookup(root, config.user, config.groups),
            **(place or {}),
        )
        spec = finalize(config, where)
        if imported:
            config = replace(config, spec=rebuild(json.loads(jsonio.dumps(spec)))[0])
            spec = finalize(config, where)
        bundle = tmp_path / f"bundle{next(numbers)}"
        bundle.mkdir()
        (bundle / "config.json").write_text(jsonio.dumps(spec))
        done = subprocess.run(
            [runtime, "--root", tmp_path / "state", "run", "--bundle", bundle, config.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return Ran(config, spec, done.stdout)

    with leaving_nothing():
        yield start


def _host(runtime: str, directory: Path) -> Host:
    return Host(
        container_id=secrets.token_hex(32),
        generated_name="keen_nansen",
        now=jsonio.now(),
        paths=Paths(directory / "root", directory / "run"),
        kernel=observe.kernel(),
        runtime=runtime,
        cgroup_parent="/pyodcr",
        default_network="pyodcr",
        resolve=lambda name: pytest.fail(f"nobody was asked for: {name}"),
        free_port=observe.free_port,
        new_volume_name=lambda: secrets.token_hex(32),
    )


def _mask(names: list[str]) -> int:
    from pyodcr.lifecycle.spec.capabilities import ALL

    return sum(1 << ALL.index(name) for name in names)


@pytest.mark.parametrize("imported", [False, True])
def test_a_container_is_what_its_spec_says(run: Run, imported: bool) -> None:
    ran = run(
        "cat /proc/self/status; echo host: $(hostname); echo files: $(ulimit -Sn) $(ulimit -Hn);"
        "echo core: $(ulimit -c);"
        "echo env: $MODE $HOME $HOSTNAME; echo cwd: $PWD; echo umask: $(umask); echo pid: $$;"
        "echo links: $(ls /sys/class/net); echo somax: $(cat /proc/sys/net/core/somaxconn)",
        imported=imported,
        hostname="web",
        env=("MODE=test",),
        workdir="/tmp",
        umask="0027",
        ulimits=("nofile=100:200", "core=0"),
        sysctls=("net.core.somaxconn=321",),
        cap_drop=("KILL",),
    )
    bounding = ran.spec["process"]["capabilities"]["bounding"]
    assert "CAP_KILL" not in bounding
    for kind, names in (("CapBnd", bounding), ("CapEff", bounding), ("CapAmb", []), ("CapInh", [])):
        assert int(ran.value(kind), 16) == _mask(names)
    assert ran.value("Seccomp") == "2"
    assert ran.value("NoNewPrivs") == "0"
    assert ran.value("host") == "web"
    assert ran.value("files") == "100 200"
    assert ran.value("core") == "0"
    assert ran.value("env") == "test /root web"
    assert (ran.value("cwd"), ran.value("umask"), ran.value("pid")) == ("/tmp", "0027", "1")
    assert ran.value("links") == "lo"
    assert ran.value("somax") == "321"


def test_a_user_of_the_image(run: Run) -> None:
    ran = run("cat /proc/self/status; id; echo home: $HOME", user="app", cap_add=("NET_BIND_SERVICE",))
    assert ran.value("Uid").split() == ["1000"] * 4
    assert ran.value("Groups").split() == ["1000", "2000"]
    assert "uid=1000(app) gid=1000(app)" in ran.output
    assert ran.value("home") == "/home/app"
    for kind in ("CapEff", "CapPrm", "CapAmb"):
        assert int(ran.value(kind), 16) == _mask(["CAP_NET_BIND_SERVICE"])


def test_the_host_is_out_of_reach(run: Run) -> None:
    ran = run(
        "echo kcore: $(head -c 1 /proc/kcore | wc -c); echo firmware: $(ls /sys/firmware | wc -l);"
        "echo x 2>/dev/null > /proc/sys/kernel/panic; echo sys: $?;"
        "echo b 2>/dev/null > /proc/sysrq-trigger; echo sysrq: $?;"
        "mkdir /sys/x 2>/dev/null; echo sysfs: $?; mknod /tmp/disk b 8 0 2>/dev/null; echo mknod: $?;"
        "mount -t tmpfs x /tmp 2>/dev/null; echo mount: $?; "
        "cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; mkdir x 2>/dev/null; echo cgroup: $?"
    )
    assert (ran.value("kcore"), ran.value("firmware")) == ("0", "0")
    for attempt in ("sys", "sysrq", "sysfs", "mknod", "mount", "cgroup"):
        assert ran.value(attempt) != "0", f"{attempt} worked"


def test_limits_reach_the_cgroup(run: Run) -> None:
    ran = run(
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | sed 's/^/memory: /';"
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null | sed 's/^/pids: /'",
        memory="64m",
        pids_limit=50,
        cpus="0.5",
        cgroupns="private",
    )
    assert (ran.value("memory"), ran.value("pids")) == (str(64 << 20), "50")


def test_mounts(run: Run, tmp_path: Path) -> None:
    for name in ("in", "volume", "shm"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/file").write_text("from the host")
    (tmp_path / "hosts").write_text("127.0.0.1 here\n")
    ran = run(
        "echo read: $(cat /in/file); echo x 2>/dev/null > /in/file; echo write: $?; echo x > /vol/made;"
        "echo hosts: $(cat /etc/hosts); echo y > /dev/shm/made; echo users: $(head -n 1 /etc/passwd);"
        "while read -r _ _ _ _ where how _; do echo $where: $how; done < /proc/self/mountinfo",
        place={
            "binds": {"/etc/hosts": tmp_path / "hosts", "/dev/shm": tmp_path / "shm"},
            "volumes": {"vol": tmp_path / "volume"},
        },
        volumes=(f"{tmp_path}/in:/in:ro,z", "vol:/vol:U"),
        tmpfs=("/t:size=1m,mode=700", "/etc"),
    )
    assert (ran.value("read"), ran.value("hosts")) == ("from the host", "127.0.0.1 here")
    assert ran.value("write") != "0"
    assert (tmp_path / "volume/made").read_text() == "x\n"
    assert (tmp_path / "shm/made").read_text() == "y\n"
    assert ran.value("users").startswith("root:x:0:0"), "the tmpfs was not filled from the image"
    assert {"ro"} <= set(ran.value("/in").split(","))
    for place in ("/vol", "/t", "/etc"):
        assert {"rw", "nosuid", "nodev"} <= set(ran.value(place).split(","))
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(ran.value("/dev/shm").split(","))
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(ran.value("/sys").split(","))


def test_a_read_only_root(run: Run) -> None:
    ran = run(
        "touch /x 2>/dev/null; echo root: $?; touch /tmp/x; echo tmp: $?; touch /run/x; echo run: $?; ls -ld /tmp",
        read_only=True,
    )
    assert (ran.value("root"), ran.value("tmp"), ran.value("run")) == ("1", "0", "0")
    assert "drwxrwxrwt" in ran.output


def test_a_device_by_another_name(run: Run) -> None:
    ran = run(
        "(: < /dev/mine); echo read: $?; (: 2>/dev/null > /dev/mine); echo write: $?; ls -l /dev/mine",
        devices=("/dev/loop-control:/dev/mine:r",),
    )
    assert ran.value("read") == "0"
    assert ran.value("write") != "0"
    assert "10, 237" in ran.output


def test_privileged(run: Run) -> None:
    ran = run("cat /proc/self/status; ls /dev; mkdir /tmp/m; mount -t tmpfs x /tmp/m; echo mount: $?", privileged=True)
    assert int(ran.value("CapEff"), 16) == _mask(list(observe.kernel().capabilities))
    assert ran.value("Seccomp") == "0"
    assert ran.value("mount") == "0"
    own = {name for name in os.listdir("/dev") if Path("/dev", name).is_char_device()} - {"console", "ptmx"}
    assert own <= set(ran.output.split())


def test_our_own_seccomp_profile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "DEFAULTS", (seccomp.OURS,))
    ran = run("cat /proc/self/status; chroot / true; echo chroot: $?; date; ls -l /; ps | wc -l")
    assert ran.value("Seccomp") == "2"
    assert ran.value("chroot") == "0"


def test_unconfined(run: Run) -> None:
    ran = run("cat /proc/self/status", security_opt=("seccomp=unconfined", "no-new-privileges"))
    assert (ran.value("Seccomp"), ran.value("NoNewPrivs")) == ("0", "1")
