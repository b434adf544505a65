"""Looking at real containers: ps, inspect, logs, events, diff, export, mount."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.box import COUNTER, Box, wait_for
from tests.support.terminal import terminal

pytestmark = pytest.mark.root

IDLE = "echo ready; exec tail -f /dev/null"


def start(box: Box, tree: Path, script: str, *options: str, name: str = "c") -> str:
    return box.run(
        "run", "-d", "--name", name, "--network", "none", *options, "--rootfs", f"{tree}:O", "sh", "-c", script
    )


def logged(box: Box, text: str, name: str = "c") -> None:
    wait_for(lambda: text in box.run("logs", name), f"{name} to say {text}")


# --- ps and inspect -------------------------------------------------------------------------


def test_ps(box: Box, tree: Path) -> None:
    identity = start(box, tree, IDLE, "--label", "app=web")
    box.call("run", "--name", "ended", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "exit 3")
    box.run("create", "--name", "fresh", "--network", "none", "--rootfs", f"{tree}:O", "true")
    assert box.run("ps", "--no-trunc", "-q").split() == [identity]
    status = dict(line.split(" ", 1) for line in box.run("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines())
    assert status["c"].startswith("Up ")
    assert status["ended"].startswith("Exited (3) ")
    assert status["fresh"] == "Created"
    (found,) = json.loads(box.run("ps", "--format", "json", "--filter", "label=app=web"))
    assert (found["Id"], found["State"], found["Names"]) == (identity, "running", ["c"])
    assert Path(f"/proc/{found['Pid']}").exists()


def test_ps_sees_an_end_that_nobody_recorded(box: Box, tree: Path) -> None:
    start(box, tree, IDLE)
    state = box.inspect("c")["State"]
    for pid in (state["ConmonPid"], state["Pid"]):
        os.kill(pid, 9)
    wait_for(lambda: not Path(f"/proc/{state['Pid']}").exists(), "the container to die")
    assert box.run("ps", "-q") == ""
    assert box.run("ps", "-a", "--format", "{{.State}}") == "exited"


def test_ps_tells_sizes(one_box: Box, tree: Path) -> None:
    start(one_box, tree, f"head -c 100000 /dev/zero > /big; {IDLE}")
    logged(one_box, "ready")
    assert one_box.run("ps", "-s", "--format", "{{.Size}}").startswith("100kB (virtual ")
    (found,) = json.loads(one_box.run("inspect", "--size", "c"))
    assert found["SizeRw"] == 100_000


def test_inspect_tells_what_is_so(box: Box, image: str) -> None:
    box.run(
        *("run", "-d", "--name", "c", "--hostname", "h", "--env", "A=1", "--user", "app", "--memory", "64m"),
        *("-v", "data:/data", "-p", "18080:80", "--label", "app=web", image, "sh", "-c", IDLE),
    )
    found = box.inspect("c")
    assert box.run("exec", "c", "hostname") == found["Config"]["Hostname"] == "h"
    assert set(box.run("exec", "c", "env").splitlines()) >= {"A=1", "HOME=/home/app"}
    assert {"A=1", "HOME=/home/app"} <= set(found["Config"]["Env"])
    assert found["HostConfig"]["Memory"] == 64 << 20
    address = found["NetworkSettings"]["IPAddress"]
    assert address
    assert f"inet {address}/" in box.run("exec", "--user", "root", "c", "ip", "addr", "show", "eth0")
    assert found["NetworkSettings"]["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "18080"}]}
    (mount,) = found["Mounts"]
    assert (mount["Type"], mount["Destination"]) == ("volume", "/data")
    box.run("exec", "--user", "root", "c", "touch", "/data/file", "/in-layer")
    assert (Path(mount["Source"]) / "file").exists()
    data = found["GraphDriver"]["Data"]
    assert (Path(data["UpperDir"]) / "in-layer").exists()
    assert (Path(data["MergedDir"]) / "in-layer").exists()
    assert (Path(data["LowerDir"].split(":")[0]) / "bin/busybox").exists()
    assert Path(f"/proc/{found['State']['Pid']}/root/in-layer").exists()
    assert "org.criu.config" not in found["Config"]["Annotations"]


@pytest.fixture(scope="module")
def podman() -> None:
    """Its storage, once used, stays mounted: that must not look like a leak of ours."""
    subprocess.run(["podman", "ps"], check=True, capture_output=True)


@pytest.mark.usefixtures("podman")
def test_inspect_has_podmans_keys(one_box: Box, tree: Path) -> None:
    """All that Podman's own program shows, but for health checks, and what is systemd's."""
    options = ["--name", "keys", "--network", "none", "--memory", "64m", "--tmpfs", "/scratch", "-v", "/srv:/srv"]
    words = ["create", *options, "--rootfs", f"{tree}:O", "true"]
    one_box.run(*words)
    subprocess.run(["podman", *words], check=True, capture_output=True)
    try:
        shown = subprocess.run(["podman", "inspect", "keys"], check=True, capture_output=True, text=True).stdout
        listed = subprocess.run(["podman", "ps", "-a", "--format", "json"], check=True, capture_output=True, text=True)
    finally:
        subprocess.run(["podman", "rm", "keys"], check=True, capture_output=True)
    (theirs,) = json.loads(shown)
    missing = list(_missing(theirs, one_box.inspect("keys")))
    foreign = ("Health", "sdNotify", "systemd", "SystemdMode", "Config.Passwd")
    assert [key for key in missing if not any(word in key for word in foreign)] == []
    (mine,) = json.loads(one_box.run("ps", "-a", "--format", "json"))
    assert set(mine) == set(json.loads(listed.stdout)[0])


def _missing(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from _missing(value, ours[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(theirs, list) and isinstance(ours, list) and theirs and ours:
        yield from _missing(theirs[0], ours[0], f"{path}[]")


def test_a_long_checkpoint_is_looked_past(box: Box, tree: Path) -> None:
    start(box, tree, COUNTER)
    box.count("c")
    with box.popen("checkpoint", "--export", "-", "--compress", "none", "c", stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        assert busy.stdout.read(1)  # dumped: the rest is more than a pipe holds
        operation = box.inspect("c")["Pyodcr"]["Operation"]
        assert (operation["Kind"], operation["OwnerPid"], operation["OwnerLives"]) == ("checkpoint", busy.pid, True)
        assert box.run("ps", "--format", "{{.Names}}") == "c"
        assert box.run("logs", "--tail", "1", "c")
        box.fail("mount", "c", code="busy")
        while busy.stdout.read(1 << 16):
            pass
    assert busy.returncode == 0
    found = box.inspect("c")
    assert (found["State"]["Checkpointed"], found["Pyodcr"]["Operation"]) == (True, None)


# --- logs -----------------------------------------------------------------------------------


def test_logs_go_where_they_came_from(box: Box, tree: Path) -> None:
    box.call(
        "run",
        "--name",
        "c",
        "--network",
        "none",
        "--rootfs",
        f"{tree}:O",
        "sh",
        "-c",
        r"printf 'a\n\377\n'; echo b >&2",
    )
    said = box.call("logs", "c")
    assert (said.stdout, said.stderr) == (b"a\n\xff\n", b"b\n")
    stamped = box.call("logs", "-t", "--tail", "1", "c").stdout + box.call("logs", "-t", "--tail", "1", "c").stderr
    assert stamped.split(b" ", 1)[0].endswith(b"Z")


def test_following_shows_a_prompt_and_ends_with_the_container(box: Box, tree: Path) -> None:
    start(box, tree, "printf 'name? '; while [ ! -e /go ]; do sleep 0.05; done; echo there; exit 4")
    with box.popen("logs", "-f", "c", stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.read(6) == b"name? "
        box.run("exec", "c", "touch", "/go")
        assert client.stdout.read() == b"there\n"
    assert client.returncode == 0


def test_following_several_until_the_last_has_ended(box: Box, tree: Path) -> None:
    ids = {
        name: start(box, tree, "while [ ! -e /go ]; do sleep 0.05; done; echo bye", name=name)[:12]
        for name in ("a", "b")
    }
    with box.popen("logs", "-f", "a", "b", stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        box.run("exec", "b", "touch", "/go")
        assert client.stdout.readline().decode() == f"{ids['b']} bye\n"
        box.run("exec", "a", "touch", "/go")
        assert client.stdout.read().decode() == f"{ids['a']} bye\n"
    assert box.run("logs", "--names", "a", "b").splitlines() == ["a bye", "b bye"]


def test_following_a_log_that_is_begun_anew(box: Box, tree: Path) -> None:
    script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; [ $((i % 50)) = 0 ] && sleep 0.3; done; true"
    start(box, tree, script, "--log-opt", "max-size=8k")
    followed = box.run("logs", "-f", "c").splitlines()
    assert followed == [f"line {number}" for number in range(1, 401)]
    assert len(box.run("logs", "c").splitlines()) < 400


def test_following_a_container_that_goes_when_it_ends(box: Box, tree: Path) -> None:
    start(box, tree, "echo one; sleep 0.5; echo two", "--rm")
    assert box.run("logs", "-f", "c").splitlines() == ["one", "two"]


def test_no_log_is_told(one_box: Box, tree: Path) -> None:
    one_box.run("create", "--name", "c", "--log-driver", "none", "--rootfs", f"{tree}:O", "true")
    one_box.fail("logs", "c", code="no-log")
    one_box.fail("logs", "nobody", code="not-found")
    one_box.fail("logs", code="usage")


# --- events ---------------------------------------------------------------------------------


def test_events_come_as_they_happen(box: Box, tree: Path) -> None:
    box.run("create", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "exit 5")
    wanted = ["events", "--filter", "container=c", "--format", "{{.Status}} {{.ContainerExitCode}}"]
    with box.popen(*wanted, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        time.sleep(0.5)  # nothing tells when it has begun to listen
        box.run("start", "c")
        assert [client.stdout.readline().decode().strip() for _ in range(4)] == [
            *("init <nil>", "start <nil>", "died 5", "cleanup <nil>"),
        ]
        client.terminate()
    told = box.run("events", "--no-stream", "--filter", "container=c", "--format", "{{.Status}}").split()
    assert told == ["create", "init", "start", "died", "cleanup"]


# --- the root filesystem --------------------------------------------------------------------


def test_diff(box: Box, tree: Path) -> None:
    start(box, tree, f"echo x > /new; rm /etc/group; chmod 700 /home; {IDLE}")
    logged(box, "ready")
    changes = ["C /etc", "D /etc/group", "C /home", "A /new"]
    assert [line for line in box.run("diff", "c").splitlines() if line in changes] == changes
    assert "/new" in json.loads(box.run("diff", "--format", "json", "c"))["added"]
    box.run("stop", "--time", "0", "c")
    assert "A /new" in box.run("diff", "c").splitlines()


def test_export(box: Box, tree: Path, tmp_path: Path) -> None:
    start(box, tree, f"echo x > /new; rm /etc/group; {IDLE}")
    logged(box, "ready")
    target = tmp_path / "c.tar"
    box.run("export", "--output", target, "c")
    with tarfile.open(target) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        new = archive.extractfile(next(name for name in archive.getnames() if name.removeprefix("./") == "new"))
        assert new is not None
        assert new.read() == b"x\n"
    assert {"bin/busybox", "new"} <= names
    assert "etc/group" not in names
    box.run("stop", "--time", "0", "c")
    assert box.call("export", "c").stdout[257:262] == b"ustar"
    assert box.inspect("c")["Pyodcr"]["MountCount"] == 0
    assert box.run("mount") == ""


def test_export_leaves_no_half_file_and_no_terminal_full_of_it(one_box: Box, tree: Path, tmp_path: Path) -> None:
    one_box.run("create", "--name", "c", "--rootfs", f"{tree}:O", "true")
    one_box.fail("export", "-o", tmp_path / "no/where.tar", "c", code="system")
    one_box.fail("export", "-o", tmp_path / "x.tar", "nobody", code="not-found")
    one_box.run("export", "-o", "/dev/null", "c")
    assert Path("/dev/null").is_char_device()
    assert not list(tmp_path.iterdir())
    with terminal(one_box.argv("export", "c"), env=one_box.environ()) as screen:
        screen.expect("refusing to export to terminal")


def test_mounts_are_counted(box: Box, tree: Path) -> None:
    box.run("create", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", f"touch /mark; {IDLE}")
    place = Path(box.run("mount", "c"))
    assert (place / "bin/busybox").exists()
    box.run("start", "c")
    logged(box, "ready")
    assert (place / "mark").exists()
    assert box.run("mount", "c") == str(place)
    box.run("stop", "--time", "0", "c")
    assert (place / "mark").exists()
    box.run("unmount", "c")
    assert box.run("mount").split() == [box.inspect("c")["Id"][:12], str(place)]
    box.run("unmount", "c")
    assert not place.exists()
    box.fail("unmount", "c", code="not-mounted")
    box.run("mount", "c")
    box.run("mount", "c")
    assert box.run("unmount", "--all", "--force").split() == [box.inspect("c")["Id"]]
    assert box.run("mount") == ""


def test_a_running_container_keeps_its_root(box: Box, tree: Path) -> None:
    start(box, tree, IDLE)
    box.fail("unmount", "c", code="not-mounted")
    box.run("mount", "c")
    box.run("unmount", "--force", "c")
    assert box.run("exec", "c", "cat", "/etc/group")
    assert Path(box.inspect("c")["GraphDriver"]["Data"]["MergedDir"], "bin").exists()
