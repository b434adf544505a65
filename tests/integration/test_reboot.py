"""A reboot: what ran has ended, what was kept is there, and what the boot before left half done is undone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.network import netns
from pyodcr.lifecycle.operations import Stage
from pyodcr.linux import boot, cgroups, flock
from tests.support.box import COUNTER, Box, files_left, wait_for
from tests.support.checkpoints import (
    Counter,
    administrators_script,
    assert_undisturbed,
    at,
    held,
    operations,
    start_counter,
)
from tests.support.reboot import reboot

pytestmark = pytest.mark.root

RUNROOTS = pytest.mark.parametrize("keep_runroot", [False, True], ids=["tmpfs", "disk"])


def events(box: Box, name: str) -> list[str]:
    told = [json.loads(line) for line in box.run("events", "--no-stream", "--format", "json").splitlines()]
    return [event["Status"] for event in told if event["Name"] == name]


# --- containers ---------------------------------------------------------------------------------


@RUNROOTS
def test_what_ran_has_ended_and_starts_again(one_box: Box, tree: Path, keep_runroot: bool) -> None:
    box = one_box
    words = ("--network", "none", "--rootfs", f"{tree}:O")
    start_counter(box, tree, name="running")
    start_counter(box, tree, name="paused")
    box.run("pause", "paused")
    box.run("create", "--name", "created", *words, "sh", "-c", COUNTER)
    assert box.call("run", "--name", "ended", *words, "sh", "-c", "exit 3").returncode == 3
    wait_for(lambda: box.state("ended") == "exited", "conmon's exit command to clean up")
    box.run("exec", "running", "sh", "-c", "echo kept > /data/note; echo lost > /dev/shm/note")
    ended = box.inspect("ended")["State"]
    reboot(box, keep_runroot=keep_runroot)
    states = {name: box.inspect(name)["State"] for name in ("running", "paused", "created", "ended")}
    assert {name: state["Status"] for name, state in states.items()} == {
        "running": "exited", "paused": "exited", "created": "created", "ended": "exited",
    }  # fmt: skip
    for name in ("running", "paused"):
        state = states[name]
        assert (state["Running"], state["Paused"], state["Pid"], state["ConmonPid"]) == (False, False, 0, 0)
        assert (state["ExitCode"], state["StoppedByUser"]) == (-1, False)
        assert "restarted" in state["Error"]
        assert box.run("wait", name) == "-1"
    assert states["ended"] == ended, "it had ended before"
    assert box.run("ps", "-q") == ""
    box.run("start", *states)
    for name in ("running", "paused", "created"):
        assert box.inspect(name)["State"]["Error"] == ""
        box.counts_on(name)
    assert box.run("exec", "running", "cat", "/data/note") == "kept"
    assert box.call("exec", "running", "cat", "/dev/shm/note").returncode == 1


def test_who_goes_at_its_end_went_with_the_boot(one_box: Box, tree: Path) -> None:
    counter = start_counter(one_box, tree, "--rm", "-v", "/anonymous", "-v", "kept:/kept", name="goes")
    kept = one_box.run("create", "--rm", "--name", "stays", "--network", "none", "--rootfs", f"{tree}:O", "true")
    reboot(one_box)
    assert one_box.containers() == [kept], "what never ran has not ended"
    assert not [path for path in files_left(one_box) if counter.id in path]
    assert one_box.run("volume", "ls", "-q") == "kept"
    assert events(one_box, "goes")[-1] == "remove"
    one_box.run("volume", "rm", "kept")


def test_commands_inside_have_ended(one_box: Box, tree: Path) -> None:
    counter = start_counter(one_box, tree)
    session = one_box.run("exec", "-d", "c", "sh", "-c", COUNTER)
    assert one_box.inspect("c")["ExecIDs"] == [session]
    reboot(one_box)
    assert not one_box.inspect("c")["ExecIDs"]
    one_box.run("start", "c")
    assert not list((counter.bundle / "exec").glob("*"))
    assert one_box.run("exec", "c", "echo", "works") == "works"


def test_a_mount_is_gone(one_box: Box, tree: Path) -> None:
    one_box.run("create", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "true")
    place = Path(one_box.run("mount", "c"))
    assert (place / "bin/busybox").exists()
    reboot(one_box)
    assert not (place / "bin/busybox").exists()
    place = Path(one_box.run("mount", "c"))
    assert (place / "bin/busybox").exists()
    one_box.run("umount", "c")
    assert not (place / "bin/busybox").exists()


# --- checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("export", [False, True], ids=["local", "archive"])
def test_a_checkpoint_outlives_the_boot(box: Box, tree: Path, export: bool) -> None:
    counter = start_counter(box, tree)
    box.run("exec", "c", "sh", "-c", "echo kept > /dev/shm/note")
    box.run("checkpoint", *(["-e", str(box.root / "c.tar.zst")] if export else []), "c")
    reached = counter.last()
    reboot(box)
    state = box.inspect("c")["State"]
    assert (state["Status"], state["Checkpointed"], state["ExitCode"]) == ("exited", True, 0)
    box.run("restore", "c")
    counter.moves(above=reached)
    assert box.run("exec", "c", "cat", "/dev/shm/note") == "kept"
    assert_undisturbed(counter)


def test_a_checkpoint_that_was_held_never_was(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    with held(counter):
        reboot(box)
    (operation,) = operations(box)
    assert operation.stage is Stage.HOLDING
    box.fail("restore", "c", code="no-checkpoint")
    assert operations(box) == []
    assert list((box.root / "staging").iterdir()) == []
    state = box.inspect("c")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", -1)
    assert not state.get("Checkpointed")
    box.run("start", "c")
    counter.moves()
    assert_undisturbed(counter)


def test_a_checkpoint_that_was_committed_is_one(box: Box, tree: Path) -> None:
    """The power fails between the commit and the end of the container."""
    counter = start_counter(box, tree)
    with held(counter, "--keep"):
        reached = counter.last()
        reboot(box)
    (operation,) = operations(box)
    with closing(Database(box.root / "state.sqlite")) as database:
        database.put_operation(replace(operation, stage=Stage.COMMITTED))
    box.run("restore", "c")
    counter.moves(above=reached)
    assert_undisturbed(counter)


@contextmanager
def blocked_restore(counter: Counter, *words: str | Path) -> Iterator[None]:
    """A restore that stands still when all processes are back, and none of them runs yet."""
    block = 'test "$CRTOOLS_SCRIPT_ACTION" != post-restore || while test -e "$0"; do sleep 0.02; done'
    with (
        administrators_script(counter.box.runtime, block) as script,
        counter.box.popen("restore", *words, stderr=subprocess.DEVNULL) as command,
    ):
        try:
            wait_for(lambda: at(counter.box, Stage.RESTORING), "the restore")
            wait_for(lambda: cgroups.processes(f"/pyodcr/{counter.id}"), "its processes")
            yield
        finally:
            command.kill()
            script.unlink()


def test_a_restore_that_was_open_is_undone(box: Box, tree: Path, tmp_path: Path) -> None:
    counter = start_counter(box, tree)
    archive = tmp_path / "c.tar.zst"
    box.run("checkpoint", "--keep", "-e", archive, "c")
    reached = counter.last()
    with blocked_restore(counter, "c"):
        reboot(box)
    box.run("restore", "c")
    counter.moves(above=reached)
    box.run("rm", "-f", "-t", "0", "c")
    with blocked_restore(counter, "-i", archive):
        reboot(box)
    assert operations(box)
    box.run("restore", "-i", archive)
    counter.moves(above=reached)
    assert_undisturbed(counter)


def test_an_import_that_was_open_is_swept(one_box: Box, tree: Path, tmp_path: Path) -> None:
    """It had made no container yet: the pipe of its archive has no end."""
    counter = start_counter(one_box, tree)
    archive = tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-e", archive, "c")
    one_box.run("rm", "c")
    with one_box.popen("restore", "-i", "-", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        assert command.stdin is not None
        command.stdin.write(archive.read_bytes()[:-20])
        command.stdin.flush()
        wait_for(lambda: list((one_box.root / "staging").rglob("checkpoint/inventory.img")), "images to be unpacked")
        reboot(one_box)
    assert operations(one_box)
    one_box.run("restore", "-i", archive)
    counter.moves()
    assert_undisturbed(counter)


# --- networks -----------------------------------------------------------------------------------


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        return connection.recv(16) == b"here\n"
    return False


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@RUNROOTS
def test_networks_are_made_anew(one_box: Box, tree: Path, keep_runroot: bool) -> None:
    box, port = one_box, free_port()
    serve = "while :; do echo here | nc -l -p 80; done"
    words = ("--rootfs", f"{tree}:O", "sh", "-c")
    served = box.run("run", "-d", "--name", "served", "-p", f"127.0.0.1:{port}:80", *words, serve)
    box.run("run", "-d", "--name", "other", *words, COUNTER)
    wait_for(lambda: answers(port), "the published port")
    reboot(box, keep_runroot=keep_runroot)
    assert box.inspect("served")["NetworkSettings"]["Networks"]["pyodcr"]["IPAddress"] == ""
    assert not answers(port)
    assert not list((box.runroot / "netns").glob("*"))
    box.run("run", "-d", "--name", "new", *words, COUNTER)
    box.run("start", "served", "other")
    assert netns.exists(box.runroot / "netns" / served)
    wait_for(lambda: answers(port), "the published port")
    addresses = [
        box.inspect(name)["NetworkSettings"]["Networks"]["pyodcr"]["IPAddress"] for name in ("new", "served", "other")
    ]
    assert "" not in addresses
    assert len(set(addresses)) == 3
    box.run("rm", "-f", "-t", "0", "served", "other")
    held_ = json.loads((box.runroot / "network/attachments.json").read_text())["attachments"]
    assert list(held_) == [box.inspect("new")["Id"]], "no lease of the boot before"


# --- two processes ------------------------------------------------------------------------------


def waits_for_a_lock(pid: int) -> bool:
    return any(f" {pid} " in line and " -> " in line for line in Path("/proc/locks").read_text().splitlines())


def test_only_one_of_many_makes_the_states_true(one_box: Box, tree: Path) -> None:
    """All have seen the boot id of before; a second one would void the container that the first has started."""
    start_counter(one_box, tree)
    start_counter(one_box, tree, "--rm", name="goes")
    reboot(one_box)
    lock = one_box.runroot / "locks/reboot"
    lock.parent.mkdir(exist_ok=True)
    with ExitStack() as living:
        with flock.exclusive(lock):
            commands = [
                living.enter_context(one_box.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
                for words in (("start", "c"), ("ps", "-a"), ("inspect", "c"), ("ps", "-a"))
            ]
            for command in commands:
                living.callback(command.kill)
                wait_for(partial(waits_for_a_lock, command.pid), "the lock to be waited for")
        for command in commands:
            _, said = command.communicate(timeout=60)
            assert command.returncode == 0, said.decode()
    state = one_box.inspect("c")["State"]
    assert state["Status"] == "running"
    assert boot.is_alive(state["Pid"], 0)
    assert events(one_box, "goes").count("remove") == 1
    one_box.counts_on("c")
    assert os.listdir(one_box.root / "containers") == [one_box.inspect("c")["Id"]]
