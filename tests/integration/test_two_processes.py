"""Many commands at once on the same things: one wins, the others are told so, and nothing is corrupt or left behind."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyodcr.linux import boot, cgroups
from tests.support.box import Box, files_left, wait_for
from tests.support.checkpoints import Counter, assert_undisturbed, held, operations, start_counter

pytestmark = pytest.mark.root

DEADLOCKED_S = 90.0
AT_ONCE = 8
# exec's own words: the container ended under it
KILLED = 128 + 9


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ran beside others."""

    words: tuple[str | Path, ...]
    status: int
    output: str
    said: str

    @property
    def error(self) -> dict[str, Any]:
        lines = [line for line in self.said.splitlines() if line.startswith("{")]
        return dict(json.loads(lines[-1])) if lines else {}

    @property
    def code(self) -> str:
        return str(self.error.get("code", ""))


def together(box: Box, commands: Iterable[tuple[str | Path, ...]]) -> list[Ended]:
    """Start them all before waiting for the first; one that waits for ever is a deadlock, and fails the test."""
    box.env["PYODCR_ERROR_FORMAT"] = "json"
    with ExitStack() as living:
        running = []
        for words in commands:
            command = living.enter_context(
                box.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            )
            living.callback(command.kill)
            running.append((words, command))
        ended = []
        for words, command in running:
            output, said = command.communicate(timeout=DEADLOCKED_S)
            ended.append(Ended(words, command.returncode, output.decode().strip(), said.decode()))
    assert not any("Traceback" in one.said for one in ended), [one.said for one in ended]
    return ended


def the_winner(ended: list[Ended], *codes: str) -> Ended:
    """The only one that succeeded; the others failed with one of ``codes``."""
    (winner,) = [one for one in ended if one.status == 0]
    assert all(one.status == 125 and one.code in codes for one in ended if one is not winner), ended
    return winner


def assert_all_succeed(ended: list[Ended]) -> None:
    assert all(one.status == 0 for one in ended), [(one.words, one.status, one.said) for one in ended if one.status]


# --- one container ------------------------------------------------------------------------------

VERBS: tuple[tuple[str, ...], ...] = (
    ("start", "c"),
    ("stop", "-t", "0", "c"),
    ("kill", "c"),
    ("pause", "c"),
    ("unpause", "c"),
    ("restart", "-t", "0", "c"),
    ("exec", "c", "true"),
    ("rm", "c"),
    ("inspect", "c"),
)


def assert_true(counter: Counter) -> str:
    """What is recorded is what the kernel says; its status."""
    state = counter.box.inspect(counter.name)["State"]
    status = str(state["Status"])
    assert status in ("created", "running", "paused", "exited"), state
    lives = status in ("running", "paused")
    assert boot.is_alive(state["Pid"], 0) is lives, state
    assert bool(cgroups.processes(f"/pyodcr/{counter.id}")) is lives, state
    assert cgroups.is_frozen(f"/pyodcr/{counter.id}") is (status == "paused"), state
    return status


def test_twenty_commands_on_one_container(box: Box, tree: Path) -> None:
    choice = random.Random(len(VERBS))
    counter = start_counter(box, tree)
    for _ in range(2):
        ended = together(box, [choice.choice(VERBS) for _ in range(20)])
        for one in ended:
            refused = one.status in (1, 2, 125) and one.code in ("wrong-state", "not-found", "busy")
            interrupted = one.words[0] == "exec" and one.status == KILLED
            assert one.status == 0 or refused or interrupted, (one.words, one.status, one.said)
        removed = [one for one in ended if one.words[0] == "rm" and one.status == 0]
        assert len(removed) <= 1
        gone = bool(removed)
        assert bool(box.containers()) is not gone
        if gone:
            wait_for(lambda: not files_left(box), "its files to be removed")
            assert not cgroups.processes(f"/pyodcr/{counter.id}")
            counter = start_counter(box, tree)
        wait_for(lambda: box.state("c") != "stopped", "conmon's exit command to clean up")
        if assert_true(counter) == "paused":
            box.run("unpause", "c")
        if box.state("c") != "running":
            box.run("start", "c")
        box.counts_on("c")
        wait_for(lambda: not box.inspect("c")["ExecIDs"], "the sessions to be forgotten")
    box.run("rm", "-f", "-t", "0", "c")
    assert files_left(box) == []


def test_one_of_many_removals_removes(one_box: Box, tree: Path) -> None:
    start_counter(one_box, tree)
    ended = together(one_box, [("rm", "-f", "-t", "0", "c")] * AT_ONCE)
    assert_all_succeed(ended)
    assert {one.output for one in ended} <= {"", "c"}, "with --force, nothing to remove is fine"
    assert one_box.containers() == []
    assert files_left(one_box) == []


# --- one name -----------------------------------------------------------------------------------


def test_one_of_many_gets_the_name(one_box: Box, tree: Path) -> None:
    words = ("create", "--name", "x", "--network", "none", "--rootfs", f"{tree}:O", "true")
    winner = the_winner(together(one_box, [words] * AT_ONCE), "name-taken")
    assert one_box.containers() == [winner.output]
    assert all(winner.output in path for path in files_left(one_box)), "the losers left nothing"
    one_box.run("start", "--attach", "x")


def test_one_of_many_makes_the_volume(one_box: Box) -> None:
    the_winner(together(one_box, [("volume", "create", "x")] * AT_ONCE), "name-taken")
    assert one_box.run("volume", "ls", "-q") == "x"
    one_box.run("volume", "rm", "x")
    assert list((one_box.root / "volumes").iterdir()) == []


def test_an_image_imported_at_once_is_one_image(one_box: Box, tarball: Path) -> None:
    name = "localhost/busybox:latest"
    ended = together(one_box, [("image", "import", tarball, name)] * 4)
    assert_all_succeed(ended)
    (identity,) = one_box.run("image", "ls", "-q", "--no-trunc").split()
    assert identity in {one.output for one in ended}
    assert one_box.run("run", "--rm", "--network", "none", name, "echo", "whole") == "whole"
    one_box.run("image", "rm", name)
    assert one_box.run("image", "ls", "-q") == ""


# --- one network --------------------------------------------------------------------------------


def test_containers_that_come_and_go_at_once_have_addresses_of_their_own(
    one_box: Box, tree: Path, tmp_path: Path
) -> None:
    """Each ends only when all are up, so they hold their addresses at the same time."""
    script = (
        "ip -4 -o addr show eth0 | awk '{print $4}'; touch /mnt/$HOSTNAME;"
        f" while [ $(ls /mnt | wc -l) -lt {AT_ONCE} ]; do sleep 0.05; done"
    )
    words = ("run", "--rm", "-v", f"{tmp_path}:/mnt", "--rootfs", f"{tree}:O", "sh", "-c", script)
    ended = together(one_box, [words] * AT_ONCE)
    assert_all_succeed(ended)
    assert len({one.output for one in ended}) == AT_ONCE, [one.output for one in ended]
    assert all("/" in one.output for one in ended)
    assert one_box.containers() == []
    wait_for(lambda: not files_left(one_box), "their files to be removed")
    recorded = json.loads((one_box.runroot / "network/attachments.json").read_text())
    assert recorded["attachments"] == {}


# --- checkpoints --------------------------------------------------------------------------------


def test_who_may_look_and_who_must_wait_while_a_checkpoint_is_held(box: Box, tree: Path, tmp_path: Path) -> None:
    counter = start_counter(box, tree)
    box.run("exec", "c", "sh", "-c", "head -c 4000000 /dev/urandom > /dev/shm/random")
    random_ = (counter.bundle / "shm/random").read_bytes()
    with held(counter) as checkpoint:
        reached = counter.last()
        looking = together(box, [("ps",), ("inspect", "c"), ("logs", "c"), ("ps", "-aq"), ("volume", "ls")])
        assert_all_succeed(looking)
        assert "c" in looking[0].output.split()
        assert json.loads(looking[1].output)[0]["State"]["Status"] == "running"
        assert looking[2].output.startswith("1\n2\n3\n")
        busy = together(
            box,
            [
                ("start", "c"), ("stop", "-t", "0", "c"), ("kill", "c"), ("pause", "c"), ("unpause", "c"),
                ("restart", "c"), ("rm", "c"), ("exec", "c", "true"), ("checkpoint", "c"),
                ("restore", "c"),
            ],
        )  # fmt: skip
        for one in busy:
            assert (one.status, one.code) == (125, "busy"), (one.words, one.status, one.said)
            assert str(checkpoint.command.pid) in one.error["error"]
        assert checkpoint.command.poll() is None
        assert checkpoint.ends() == (0, "")
    assert box.state("c") == "exited"
    assert counter.last() == reached, "nothing moved while it was held"
    assert operations(box) == []
    archive = tmp_path / "c.tar"
    archive.write_bytes(checkpoint.archive)
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    counter.moves(above=reached)
    assert (counter.bundle / "shm/random").read_bytes() == random_
    assert_undisturbed(counter)


def test_one_of_two_restores_of_an_archive_wins(one_box: Box, tree: Path, tmp_path: Path) -> None:
    counter = start_counter(one_box, tree)
    archive = tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-e", archive, "c")
    reached = counter.last()
    one_box.run("rm", "c")
    winner = the_winner(together(one_box, [("restore", "-i", archive)] * 2), "name-taken", "id-taken", "busy")
    assert winner.output == counter.id
    assert one_box.containers() == [counter.id]
    counter.moves(above=reached)
    assert_undisturbed(counter)


def test_one_of_two_checkpoints_and_restores_of_a_container_wins(one_box: Box, tree: Path) -> None:
    counter = start_counter(one_box, tree)
    before = counter.reading()
    the_winner(together(one_box, [("checkpoint", "c")] * 2), "busy", "wrong-state")
    the_winner(together(one_box, [("restore", "c")] * 2), "busy", "wrong-state")
    counter.moves(above=before)
    assert_undisturbed(counter)


def test_two_containers_are_checkpointed_and_restored_at_once(one_box: Box, tree: Path) -> None:
    counters = [start_counter(one_box, tree, name=name) for name in ("a", "b")]
    assert_all_succeed(together(one_box, [("checkpoint", counter.name) for counter in counters]))
    reached = [counter.last() for counter in counters]
    assert_all_succeed(together(one_box, [("restore", counter.name) for counter in counters]))
    for counter, last in zip(counters, reached, strict=True):
        counter.moves(above=last)
    assert operations(one_box) == []
