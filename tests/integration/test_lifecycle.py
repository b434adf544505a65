"""Containers from create to rm, through the command line, on both runtimes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.box import Box, wait_for
from tests.support.terminal import terminal

pytestmark = pytest.mark.root

# ends at once, with a status of its own, when it is asked to
POLITE = 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done'
STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
EVENTS_OF_A_LIFE = (
    "create init start pause unpause stop died cleanup init start kill died cleanup init start kill died cleanup remove"
)


def start(box: Box, tree: Path, script: str = POLITE, *options: str, name: str = "c") -> str:
    """A container in the background, once it has said "ready"; its ID."""
    identity = box.run(
        "run", "-d", "--name", name, "--network", "none", *options, "--rootfs", f"{tree}:O", "sh", "-c", script
    )
    becomes_ready(box, name)
    return identity


def becomes_ready(box: Box, name: str, lives: int = 1) -> None:
    """Wait until it has said so in as many lives: its traps are set."""
    wait_for(lambda: box.run("logs", name).count("ready") == lives, f"{name} to be ready")


def shell(box: Box, tree: Path, script: str, *options: str | Path) -> str:
    """What a shell in a container of its own prints."""
    return box.run("run", "--rm", "--network", "none", *options, "--rootfs", f"{tree}:O", "sh", "-c", script)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- states ---------------------------------------------------------------------------------


def test_a_life(box: Box, tree: Path) -> None:
    identity = box.run("create", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", POLITE)
    assert re.fullmatch("[0-9a-f]{64}", identity)
    assert box.state("c") == "created"
    assert box.run("start", "c") == "c"
    state = box.inspect("c")["State"]
    assert (state["Status"], state["Running"], state["ExitCode"]) == ("running", True, 0)
    assert alive(state["Pid"])
    assert alive(state["ConmonPid"])
    assert box.run("pause", "c") == "c"
    assert box.inspect("c")["State"]["Paused"]
    assert box.run("unpause", "c") == "c"
    assert box.state("c") == "running"
    becomes_ready(box, "c")
    assert box.run("stop", "c") == "c"
    ended = box.inspect("c")["State"]
    assert (ended["Status"], ended["ExitCode"], ended["Pid"], ended["StoppedByUser"]) == ("exited", 3, 0, True)
    assert ended["StartedAt"] < ended["FinishedAt"]
    assert not alive(state["Pid"])
    for lives, (name, status) in enumerate((("TERM", "3"), ("SIGKILL", "137")), 2):
        box.run("start", "c")
        becomes_ready(box, "c", lives)
        assert box.run("kill", "-s", name, "c") == "c"
        assert box.run("wait", identity[:8]) == status
        wait_for(lambda: box.state("c") == "exited", "conmon's exit command to clean up")
    assert box.run("rm", "c") == "c"
    told = [json.loads(line)["Status"] for line in box.run("events", "--no-stream", "--format", "json").splitlines()]
    assert " ".join(told) == EVENTS_OF_A_LIFE


def test_output_goes_where_it_belongs(box: Box, tree: Path) -> None:
    done = box.call("run", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 0)


def test_input_ends_inside_when_it_ends_outside(box: Box, tree: Path) -> None:
    sent = os.urandom(300_000)
    done = box.call(
        "run", "-i", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "cat; echo end >&2", stdin=sent
    )
    assert done.stdout == sent
    assert done.stderr == b"end\n"


def test_input_is_not_passed_on_unasked(box: Box, tree: Path) -> None:
    done = box.call("run", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "cat", stdin=b"typed")
    assert (done.stdout, done.returncode) == (b"", 0)


@pytest.mark.parametrize(
    ("command", "status"),
    [(("sh", "-c", "exit 7"), 7), (("no-such-program",), 127), (("/etc/passwd",), 126), (("/etc",), 126)],
)
def test_exit_status_of_run(box: Box, tree: Path, command: tuple[str, ...], status: int) -> None:
    words = ("run", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", *command)
    if status == 7:
        assert box.call(*words).returncode == status
        assert box.inspect("c")["State"]["ExitCode"] == 7
    else:
        error = box.fail(*words, status=status)
        assert command[0] in error["error"]
        assert box.state("c") == "created"
        state = box.inspect("c")["State"]
        assert not state["Pid"]
        box.fail("start", "c", status=status)
    box.run("rm", "c")


def test_a_container_that_could_not_start_goes_with_rm(box: Box, tree: Path) -> None:
    box.fail("run", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "no-such-program", status=127)
    assert not box.containers()


@pytest.mark.parametrize("detached", [True, False])
def test_rm_removes_what_it_made(box: Box, tree: Path, detached: bool) -> None:
    words = ["run", "--rm", "--network", "none", "-v", "/data", "-v", "kept:/kept", "--rootfs", f"{tree}:O"]
    identity = box.run(*words[:1], *(["-d"] if detached else []), *words[1:], "sh", "-c", "echo > /kept/file; exit 0")
    assert bool(identity) is detached
    wait_for(lambda: not box.containers(), "it to be removed")
    assert box.run("volume", "ls", "-q") == "kept"
    box.run("volume", "rm", "kept")


def test_cidfile(one_box: Box, tree: Path, tmp_path: Path) -> None:
    words = ("create", "--cidfile", tmp_path / "id", "--network", "none", "--rootfs", f"{tree}:O", "true")
    identity = one_box.run(*words)
    assert (tmp_path / "id").read_text() == identity
    one_box.fail(*words, code="cidfile-exists")
    assert one_box.containers() == [identity]
    one_box.fail("create", "--cidfile", tmp_path / "no", "--memory", "much", "--rootfs", f"{tree}:O", "true")
    assert not (tmp_path / "no").exists()


def test_names_and_ids(one_box: Box, tree: Path) -> None:
    words = ("create", "--network", "none", "--rootfs", f"{tree}:O", "true")
    first = one_box.run(*words)
    second = one_box.run("create", "--name", "second", *words[1:])
    assert one_box.run("rm", first[:12]) == first[:12]
    assert one_box.run("rm", "second") == "second"
    assert first != second


# --- stop, kill, wait, restart --------------------------------------------------------------


def test_who_does_not_stop_is_killed(box: Box, tree: Path) -> None:
    start(box, tree, STUBBORN)
    box.run("stop", "-t", "0", "c")
    assert box.inspect("c")["State"]["ExitCode"] == 137
    box.run("start", "c")
    becomes_ready(box, "c", 2)
    box.run("stop", "-t", "1", "c")
    assert box.inspect("c")["State"]["ExitCode"] == 137


def test_stop_signal_and_timeout_of_its_own(box: Box, tree: Path) -> None:
    script = 'trap "exit 4" USR1; trap "" TERM; echo ready; while :; do sleep 0.05; done'
    start(box, tree, script, "--stop-signal", "USR1", "--stop-timeout", "600")
    box.run("stop", "c")
    assert box.inspect("c")["State"]["ExitCode"] == 4


def test_others_work_while_a_stop_waits(box: Box, tree: Path) -> None:
    start(box, tree, STUBBORN)
    with box.popen("stop", "-t", "300", "c") as stopping:
        wait_for(lambda: box.state("c") == "stopping", "the stop to begin")
        box.fail("exec", "c", "true", code="wrong-state")
        box.run("kill", "c")
        assert stopping.wait(20) == 0
    assert box.state("c") == "exited"


def test_killed_although_paused(box: Box, tree: Path) -> None:
    start(box, tree)
    box.run("pause", "c")
    box.run("kill", "c")
    assert box.run("wait", "c") == "137"
    box.run("start", "c")
    box.run("pause", "c")
    box.run("rm", "-f", "-t", "0", "c")
    assert not box.containers()


def test_wait_for_several(box: Box, tree: Path) -> None:
    for status in (5, 6):
        start(box, tree, f'trap "exit {status}" TERM; echo ready; while :; do sleep 0.05; done', name=f"c{status}")
    with box.popen("wait", "c5", "c6", stdout=subprocess.PIPE) as waiting:
        box.run("kill", "-s", "TERM", "c6", "c5")
        said, _ = waiting.communicate(timeout=30)
    assert said == b"5\n6\n"


def test_wait_outlives_the_container(box: Box, tree: Path) -> None:
    start(box, tree, POLITE, "--rm")
    with box.popen("wait", "c", stdout=subprocess.PIPE) as waiting:
        wait_for(lambda: Path(f"/proc/{waiting.pid}").exists(), "wait to begin")
        box.run("stop", "c")
        said, _ = waiting.communicate(timeout=30)
    assert said == b"3\n" or waiting.returncode == 125, "it may come too late, but it does not wait for ever"


def test_wait_when_the_monitor_is_dead_as_well(box: Box, tree: Path) -> None:
    start(box, tree)
    state = box.inspect("c")["State"]
    with box.popen("wait", "c", stdout=subprocess.PIPE) as waiting:
        os.kill(state["ConmonPid"], signal.SIGKILL)
        os.kill(state["Pid"], signal.SIGKILL)
        said, _ = waiting.communicate(timeout=30)
    assert said == b"-1\n"
    ended = box.inspect("c")["State"]
    assert (ended["ExitCode"], ended["Status"]) == (-1, "stopped")
    assert "exit code is lost" in ended["Error"]
    box.run("start", "c")
    assert box.state("c") == "running"


def test_restart(box: Box, tree: Path) -> None:
    start(box, tree)
    first = box.inspect("c")["State"]
    assert box.run("restart", "c") == "c"
    second = box.inspect("c")["State"]
    assert second["Status"] == "running"
    assert second["Pid"] != first["Pid"]
    assert not alive(first["Pid"])
    box.run("stop", "-t", "0", "c")
    box.run("restart", "c")
    assert box.state("c") == "running"


def test_restart_keeps_a_container_that_goes_when_it_ends(box: Box, tree: Path) -> None:
    identity = start(box, tree, POLITE, "--rm")
    for _ in range(3):
        box.run("restart", "-t", "0", "c")
        assert box.containers() == [identity]
        assert box.state("c") == "running"
    box.run("stop", "c")
    assert not box.containers()


def test_all(box: Box, tree: Path) -> None:
    for name in ("a", "b"):
        start(box, tree, name=name)
    box.run("create", "--name", "idle", "--network", "none", "--rootfs", f"{tree}:O", "true")
    assert sorted(box.run("pause", "--all").split()) == sorted(box.inspect(name)["Id"] for name in ("a", "b"))
    assert [box.state(name) for name in ("a", "b", "idle")] == ["paused", "paused", "created"]
    box.run("unpause", "--all")
    box.run("pause", "b")
    box.run("stop", "--all", "-t", "0")
    assert [box.state(name) for name in ("a", "b", "idle")] == ["exited", "paused", "created"]
    box.run("kill", "--all")
    box.run("rm", "--all")
    assert not box.containers()


def test_out_of_memory_is_told(box: Box, tree: Path) -> None:
    done = box.call(
        "run", "--name", "c", "--memory", "16m", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "x=$(yes)"
    )
    assert done.returncode == 137
    state = box.inspect("c")["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert not Path("oom").exists(), "conmon's mark is not left in our working directory"
    box.call("start", "-a", "c")
    assert box.inspect("c")["State"]["OOMKilled"]


# --- attached -------------------------------------------------------------------------------


def test_terminal(box: Box, tree: Path) -> None:
    argv = box.argv("run", "-it", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh")
    with terminal(argv, box.environ(), rows=33, columns=77) as screen:
        screen.expect("# ")
        screen.type("stty size\n")
        screen.expect("33 77")
        screen.resize(44, 99)
        screen.type("while ! stty size | grep -q 44; do sleep 0.05; done; stty size\n")
        screen.expect("44 99")
        assert screen.is_raw()
        screen.type("\x10\x11")
        assert screen.wait() == 0
        assert box.state("c") == "running", "the detach keys leave it running"
    with terminal(box.argv("attach", "c"), box.environ()) as screen:
        screen.type("echo $((6*7))\n")
        screen.expect("42")
        screen.type("exit 5\n")
        assert screen.wait() == 5
    with terminal(box.argv("start", "-ai", "--detach-keys", "ctrl-a,b", "c"), box.environ()) as screen:
        screen.expect("# ")
        screen.type("\x01b")
        assert screen.wait() == 0
    assert box.state("c") == "running"


def test_ctrl_c_goes_to_the_command_on_its_terminal(box: Box, tree: Path) -> None:
    script = 'trap "exit 9" INT; echo ready; while :; do sleep 0.05; done'
    argv = box.argv("run", "-it", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", script)
    with terminal(argv, box.environ()) as screen:
        screen.expect("ready")
        screen.type("\x03")
        assert screen.wait() == 9


@pytest.mark.parametrize("option", ["--interactive", "--rm"])
def test_a_closed_terminal_leaves_the_container_running(box: Box, tree: Path, option: str) -> None:
    argv = box.argv("run", "-it", option, "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh")
    with terminal(argv, box.environ()) as screen:
        screen.expect("# ")
        pid = screen.pid
    assert not alive(pid)
    assert box.state("c") == "running"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_an_attached_run_leaves_the_container_running(box: Box, tree: Path, number: int) -> None:
    argv = box.argv("run", "-it", "--rm", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh")
    with terminal(argv, box.environ()) as screen:
        screen.expect("# ")
        os.kill(screen.pid, number)
        assert screen.wait() == 128 + number
    assert box.state("c") == "running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_with_rm_leaves_no_container(box: Box, tree: Path, tmp_path: Path, number: int) -> None:
    """The runtime is stuck as it makes the container."""
    at, wrapper = tmp_path / "at", tmp_path / box.runtime
    wrapper.write_text(
        f'#!/bin/sh\ncase " $* " in *" create "*) touch {at}; while test -e {at}; do sleep 0.02; done ;; esac\n'
        f'exec {shutil.which(box.runtime)} "$@"\n'
    )
    wrapper.chmod(0o700)
    (tmp_path / "pyodcr.toml").write_text(f'[runtimes]\n{box.runtime} = "{wrapper}"\n')
    box.env["PYODCR_CONFIG"] = str(tmp_path / "pyodcr.toml")
    words = ("run", "--rm", "-d", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", POLITE)
    with box.popen(*words, stderr=subprocess.PIPE) as running:
        wait_for(at.exists, "the runtime to be called")
        running.send_signal(number)
        assert running.wait(30) == (128 + number)
    at.unlink()
    assert not box.containers()


def test_signals_are_passed_on(box: Box, tree: Path) -> None:
    words = ("--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", POLITE)
    with box.popen("run", *words, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 3
    with box.popen("start", "-a", "--no-sig-proxy", "c", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 128 + signal.SIGTERM
    assert box.state("c") == "running"


def test_attach_shows_what_comes_and_ends_with_it(box: Box, tree: Path) -> None:
    start(box, tree, 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; echo tick; done')
    with box.popen("attach", "--no-stdin", "c", stdout=subprocess.PIPE) as attached:
        assert attached.stdout is not None
        assert attached.stdout.readline() == b"tick\n"
        box.run("stop", "c")
        assert attached.stdout.read().endswith(b"bye\n")
        assert attached.wait(30) == 3


def test_output_that_nobody_reads_ends_the_client_not_the_container(box: Box, tree: Path) -> None:
    with box.popen(
        "run", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", "while :; do echo x; done",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == b"x\n"
        running.stdout.close()
        assert running.wait(30) == 128 + signal.SIGPIPE
    assert box.state("c") == "running"
    box.run("rm", "-f", "-t", "0", "c")


# --- exec -----------------------------------------------------------------------------------


def test_exec(box: Box, tree: Path) -> None:
    start(box, tree, POLITE, "-e", "COLOUR=red", "-w", "/tmp", "--user", "app")
    assert box.call("exec", "c", "sh", "-c", "exit 6").returncode == 6
    box.fail("exec", "c", "no-such-program", status=127)
    box.fail("exec", "c", "/etc/passwd", status=126)
    assert box.call("exec", "c", "sh", "-c", "kill -9 $$").returncode == 137
    assert box.run("exec", "c", "sh", "-c", "echo $COLOUR; pwd; id -u") == "red\n/tmp\n1000"
    assert (
        box.run(
            "exec",
            "-e",
            "COLOUR=blue",
            "-w",
            "/data",
            "-u",
            "0:2000",
            "c",
            "sh",
            "-c",
            "echo $COLOUR; pwd; id -u; id -g",
        )
        == "blue\n/data\n0\n2000"
    )
    assert box.run("exec", "-u", "app", "c", "sh", "-c", "id -Gn; echo $HOME") == "app extra\n/home/app"
    assert box.run("exec", "-i", "c", "cat", stdin=b"through") == "through"
    done = box.call("exec", "c", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    held = box.run("exec", "-u", "0", "c", "grep", "CapEff", "/proc/self/status")
    more = box.run("exec", "--privileged", "-u", "0", "c", "grep", "CapEff", "/proc/self/status")
    none = box.run("exec", "c", "grep", "CapEff", "/proc/self/status")
    assert int(none.split()[1], 16) == 0 < int(held.split()[1], 16) < int(more.split()[1], 16)
    wait_for(lambda: not box.inspect("c")["ExecIDs"], "the sessions to be forgotten")
    wait_for(lambda: not list((box.root / "containers").glob("*/exec/*")), "their files to go")


def test_exec_in_the_background(box: Box, tree: Path) -> None:
    start(box, tree)
    session = box.run(
        "exec", "-d", "c", "sh", "-c", "echo here > /tmp/mark; while [ ! -e /tmp/go ]; do sleep 0.05; done"
    )
    assert re.fullmatch("[0-9a-f]{64}", session)
    assert box.inspect("c")["ExecIDs"] == [session]
    wait_for(lambda: box.call("exec", "c", "cat", "/tmp/mark").stdout == b"here\n", "it to run")
    box.run("exec", "c", "touch", "/tmp/go")
    wait_for(lambda: not box.inspect("c")["ExecIDs"], "the session to be forgotten")


def test_exec_on_a_terminal(box: Box, tree: Path) -> None:
    start(box, tree)
    with terminal(box.argv("exec", "-it", "c", "sh"), box.environ(), rows=31, columns=71) as screen:
        screen.expect("# ")
        screen.type("stty size\n")
        screen.expect("31 71")
        screen.resize(41, 91)
        screen.type("while ! stty size | grep -q 41; do sleep 0.05; done; stty size\n")
        screen.expect("41 91")
        screen.type("\x10\x11")
        assert screen.wait() == 0
    assert len(box.inspect("c")["ExecIDs"]) == 1
    box.run("stop", "c")
    assert not box.inspect("c")["ExecIDs"]


def test_exec_ends_with_its_container(box: Box, tree: Path) -> None:
    start(box, tree)
    with box.popen(
        "exec", "c", "sh", "-c", "echo ready; while :; do sleep 0.05; done", stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        box.run("rm", "-f", "-t", "0", "c")
        assert running.wait(30) == 137


def test_an_interrupted_exec_leaves_its_command(box: Box, tree: Path) -> None:
    start(box, tree)
    with box.popen(
        "exec", "c", "sh", "-c", "echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo > /tmp/done",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 128 + signal.SIGINT
    box.run("exec", "c", "touch", "/tmp/go")
    wait_for(lambda: box.call("exec", "c", "test", "-e", "/tmp/done").returncode == 0, "it to go on")
    wait_for(lambda: not box.inspect("c")["ExecIDs"], "the session to be forgotten")


# --- volumes --------------------------------------------------------------------------------


def test_a_new_volume_is_filled_once_from_the_image(box: Box, image: str) -> None:
    def look(*options: str) -> str:
        return box.run("run", "--rm", "--network", "none", *options, image, "sh", "-c", "ls /home; stat -c %u:%a /home")

    assert look("-v", "store:/home:nocopy") == "0:755"
    assert look("-v", "store:/home") == "app\n0:755", "an empty one is filled when it may be"
    box.run("run", "--rm", "--network", "none", "-v", "store:/home", image, "rmdir", "/home/app")
    assert look("-v", "store:/home") == "0:755", "one that was filled and emptied stays empty"
    box.run("run", "--rm", "--network", "none", "-v", "other:/data", image, "touch", "/data/mine")
    assert look("-v", "other:/home") == "mine\n0:755", "one that holds something is not filled"
    box.run("volume", "rm", "store", "other")


def test_a_new_volume_belongs_to_whom_it_is_for(one_box: Box, tree: Path) -> None:
    def owner(place: str) -> str:
        words = ("run", "--rm", "--network", "none", "--user", "1000:2000", "-v", place, "--rootfs", f"{tree}:O")
        return one_box.run(*words, "stat", "-c", "%u:%g %a", place)

    assert owner("/nowhere") == "1000:2000 755"
    assert owner("/tmp") == "0:0 1777", "what it is mounted over says how it should be"


def test_anonymous_volumes_go_only_when_asked(one_box: Box, tree: Path) -> None:
    words = ("create", "-v", "/one", "-v", "named:/two", "--network", "none", "--rootfs", f"{tree}:O", "true")
    first, second = one_box.run(*words), one_box.run(*words)
    assert len(one_box.run("volume", "ls", "-q").split()) == 3
    one_box.run("rm", first)
    assert len(one_box.run("volume", "ls", "-q").split()) == 3
    one_box.run("rm", "-v", second)
    left = one_box.run("volume", "ls", "-q").split()
    assert len(left) == 2
    assert "named" in left
    one_box.run("volume", "rm", *left)


def test_a_volume_shared_by_containers_outlives_the_one_it_came_with(one_box: Box, tree: Path) -> None:
    words = ("--network", "none", "--rootfs", f"{tree}:O", "true")
    one_box.run("create", "--name", "a", "-v", "/one", *words)
    one_box.run("create", "--name", "b", "--volumes-from", "a", *words)
    (volume,) = one_box.run("volume", "ls", "-q").split()
    one_box.run("rm", "-v", "a")
    assert one_box.run("volume", "ls", "-q") == volume
    one_box.run("rm", "-v", "b")
    assert not one_box.run("volume", "ls", "-q")


# --- networks -------------------------------------------------------------------------------

SERVE = "echo ready; while :; do echo hello | nc -l -p 80; done"


def address(box: Box, name: str) -> str:
    (network,) = box.inspect(name)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_containers_reach_each_other_and_the_host_reaches_a_port(box: Box, tree: Path) -> None:
    serve = ("-d", "-p", "127.0.0.1:18080:80", "--rootfs", f"{tree}:O", "sh", "-c", SERVE)
    box.run("run", "--name", "server", *serve)
    fetch = f"until nc {address(box, 'server')} 80 </dev/null | grep hello; do sleep 0.05; done"
    assert box.run("run", "--rm", "--rootfs", f"{tree}:O", "sh", "-c", fetch) == "hello"
    wait_for(lambda: said("127.0.0.1", 18080) == b"hello\n", "the published port to answer")
    assert box.run("ps", "--format", "{{.Ports}}") == "127.0.0.1:18080->80/tcp"
    error = box.fail("run", "--name", "other", *serve, code="port-in-use")
    assert "server" in error["error"]
    box.run("stop", "-t", "0", "server")
    box.run("start", "other")
    wait_for(lambda: said("127.0.0.1", 18080) == b"hello\n", "the port to have gone to the other")


def said(host: str, port: int) -> bytes:
    try:
        with socket.create_connection((host, port), 2) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def test_none_and_host(box: Box, tree: Path) -> None:
    links = "ls /sys/class/net"
    assert shell(box, tree, links) == "lo"
    theirs = box.run("run", "--rm", "--network", "host", "--rootfs", f"{tree}:O", "sh", "-c", f"hostname; {links}")
    assert theirs.split() == [os.uname().nodename, *sorted(os.listdir("/sys/class/net"))]


def test_a_container_in_the_network_of_another(box: Box, tree: Path) -> None:
    box.run("create", "--name", "a", "--rootfs", f"{tree}:O", "sh", "-c", SERVE)
    box.run(
        "create",
        "--name",
        "b",
        "--network",
        "container:a",
        "--rootfs",
        f"{tree}:O",
        "sh",
        "-c",
        SERVE.replace("80", "81"),
    )
    error = box.fail("start", "b", code="dependency-not-running")
    assert error["hint"] == "pyodcr start a"
    error = box.fail("rm", "a", code="has-dependents")
    assert error["error"].endswith("which must be removed before it: b")
    box.run("start", "a")
    box.run("start", "b")
    assert box.run("exec", "b", "sh", "-c", "until nc 127.0.0.1 80 </dev/null; do sleep 0.05; done") == "hello"
    assert box.run("exec", "b", "cat", "/etc/hosts") == box.run("exec", "a", "cat", "/etc/hosts")
    box.fail("rm", "-f", "a", code="has-dependents")
    assert box.state("a") == "running", "it was not stopped in vain"
    box.run("stop", "--all", "-t", "0")
    box.run("start", "--all")
    box.run("rm", "--all", "-f", "-t", "0")


# --- what is inside -------------------------------------------------------------------------


def test_users_are_looked_up_inside(box: Box, tree: Path) -> None:
    who = "id -u; id -g; id -G; echo $HOME"
    assert shell(box, tree, who, "--user", "app").split() == ["1000", "1000", "1000", "2000", "/home/app"]
    assert shell(box, tree, who, "--user", "app:extra").split()[:2] == ["1000", "2000"]
    assert shell(box, tree, who, "--user", "4321:1234").split()[:2] == ["4321", "1234"]
    assert shell(box, tree, who, "--user", "app", "--group-add", "77").split()[2:-1] == ["1000", "77", "2000"]
    error = box.fail("run", "--rm", "--user", "daemon", "--network", "none", "--rootfs", f"{tree}:O", "true")
    assert "unable to find user daemon" in error["error"], "the host has one, the image has none"
    assert not box.containers()


def test_environment_directory_and_names(box: Box, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FROM_FILE=1\n# nothing\n")
    script = "echo $A $FROM_FILE $HOSTNAME; hostname; pwd; cat /etc/hostname; grep -c $HOSTNAME /etc/hosts"
    options = ("--env", "A=x y", "--env-file", tmp_path / "env", "--hostname", "inside", "--workdir", "/tmp")
    assert shell(box, tree, script, *options).splitlines() == ["x y 1 inside", "inside", "/tmp", "inside", "1"]


def test_limits(box: Box, tree: Path) -> None:
    script = (
        "stat -f -c '%b %S' /dev/shm; ulimit -n; ulimit -Hn; "
        "cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl"
    )
    options = (
        "--shm-size", "2m", "--ulimit", "nofile=100:200", "--oom-score-adj", "345",
        "--sysctl", "net.ipv4.ip_default_ttl=33",
    )  # fmt: skip
    said = shell(box, tree, script, *options).splitlines()
    blocks, size = map(int, said[0].split())
    assert (blocks * size, *map(int, said[1:])) == (2 << 20, 100, 200, 345, 33)


def test_capabilities(box: Box, tree: Path) -> None:
    def held(*options: str) -> int:
        return int(shell(box, tree, "grep CapEff /proc/self/status", *options).split()[1], 16)

    chown, net_raw, sys_admin = 1 << 0, 1 << 13, 1 << 21
    assert held() & chown
    assert not held() & (net_raw | sys_admin)
    assert held("--cap-drop", "all", "--cap-add", "NET_RAW") == net_raw
    assert held("--privileged") & sys_admin
    assert not held("--cap-drop", "CHOWN") & chown


def test_what_may_not_be_written(box: Box, tree: Path) -> None:
    script = "for f in /x /tmp/x /run/x /data/x; do (echo > $f) 2>/dev/null && echo $f; done; stat -f -c %T /data"
    assert shell(box, tree, script, "--read-only", "--tmpfs", "/data:size=1m,mode=0700").split() == [
        "/tmp/x",
        "/run/x",
        "/data/x",
        "tmpfs",
    ]


def test_what_may_not_be_done_or_seen(box: Box, tree: Path) -> None:
    # swapon is in no list of allowed calls: seccomp refuses it before the kernel looks at the file
    script = "grep Seccomp: /proc/self/status; swapon /etc/passwd 2>&1; wc -c < /proc/timer_list"
    kept = shell(box, tree, script, "--cap-add", "SYS_ADMIN")
    assert kept.split()[:2] == ["Seccomp:", "2"]
    assert "Invalid argument" not in kept
    assert kept.splitlines()[-1] == "0"
    free = shell(box, tree, script, "--privileged", "--security-opt", "seccomp=unconfined")
    assert free.split()[:2] == ["Seccomp:", "0"]
    assert "Invalid argument" in free
    assert free.splitlines()[-1] != "0"
    read_only = "echo 1 > /proc/sys/kernel/domainname"
    assert box.call("run", "--rm", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", read_only).returncode == 1
    assert shell(box, tree, read_only, "--privileged") == ""
