"""Established connections: kept through checkpoint and restore, and through whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.box import Box, wait_for
from tests.support.checkpoints import (
    Counter,
    administrators_script,
    assert_undisturbed,
    guard_of,
    held,
    operations,
    perl_tree,
    until_dead,
)
from tests.support.talking import Talk, connected, start_server, talking

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def perl(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return perl_tree(tree, tmp_path_factory.mktemp("tree"))


@pytest.fixture
def served(box: Box, perl: Path) -> Iterator[tuple[Counter, Talk]]:
    """A server and its client; at the end the same connection must go on, without a gap in its answers."""
    server, address = start_server(box, perl)
    with talking(address) as talk:
        talk.goes_on()
        yield server, talk
        talk.goes_on()
    assert talk.answers == list(range(1, len(talk.answers) + 1)), "every line was answered, and once"


def test_an_established_connection_goes_on(served: tuple[Counter, Talk], tmp_path: Path) -> None:
    """The peer goes on sending while the container is gone; nobody may answer it with a reset."""
    (server, talk), box = served, served[0].box
    error = box.fail("checkpoint", "c", code="criu-tcp-established")
    assert "--tcp-established" in error["hint"]
    for words in ((), ("-e", tmp_path / "c.tar.zst")):
        box.run("checkpoint", "--tcp-established", *words, "c")
        box.run("restore", "--tcp-established", "c")
        talk.goes_on()
    box.run("checkpoint", "--tcp-established", "-R", "c")
    assert_undisturbed(server)


def test_a_connection_goes_on_through_an_import(served: tuple[Counter, Talk], tmp_path: Path) -> None:
    """Its network comes up behind a lock, and not before the archive was read to its end."""
    (server, _), box, archive = served, served[0].box, tmp_path / "c.tar.zst"
    box.run("checkpoint", "--tcp-established", "-e", archive, "c")
    box.run("rm", "c")
    box.run("restore", "--tcp-established", "-i", archive)
    assert_undisturbed(server)


def test_a_connection_is_not_lost_unasked(box: Box, perl: Path) -> None:
    _, address = start_server(box, perl)
    with wait_for(lambda: connected(address), "the server") as connection:
        connection.sendall(b"next\n")
        assert connection.recv(100) == b"1\n"
        box.run("checkpoint", "--tcp-established", "c")
        error = box.fail("restore", "c", code="criu-tcp-established")
        assert "--tcp-established" in error["hint"]
        assert box.inspect("c")["State"]["Checkpointed"] is True
        box.run("restore", "--tcp-established", "c")
        connection.sendall(b"next\n")
        assert connection.recv(100) == b"2\n", "a quiet peer has noticed nothing"


@pytest.mark.parametrize(
    "victims",
    ["criu", "hook", "owner", "criu owner", "owner criu", "runtime criu", "guard criu owner", "guard owner criu"],
)
def test_killed_while_held(served: tuple[Counter, Talk], victims: str) -> None:
    """The sockets are in repair mode and the network is locked: whoever is left mends it before anything runs on."""
    (server, talk), box = served, served[0].box
    with held(server, "--tcp-established") as checkpoint:
        pids = {
            "criu": checkpoint.criu,
            "hook": checkpoint.hook,
            "runtime": checkpoint.runtime,
            "owner": checkpoint.command.pid,
            "guard": guard_of(*operations(box)),
        }
        names = victims.split()
        if "owner" in names:
            os.kill(pids["owner"], signal.SIGSTOP)  # it must not mend before it is killed
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        if names[0] == "guard":
            until_dead(pids["owner"])
            box.run("exec", server.name, "true")  # the next verb
        talk.goes_on()
        if "owner" not in names:
            status, said = checkpoint.ends()
            assert status == 125, said
    wait_for(lambda: not operations(box), "the operation to be closed")
    assert_undisturbed(server)


@pytest.mark.parametrize("stage", ["pre-restore", "post-setup-namespaces", "post-restore"])
def test_a_restore_that_is_killed_can_be_done_again(served: tuple[Counter, Talk], stage: str) -> None:
    (server, _), box = served, served[0].box
    box.run("checkpoint", "--tcp-established", "c")
    kill = f'test "$CRTOOLS_SCRIPT_ACTION" != {stage} || kill -9 $PPID'
    with administrators_script(box.runtime, kill):
        box.fail("restore", "--tcp-established", "c")
    assert box.inspect("c")["State"]["Checkpointed"] is True
    box.run("restore", "--tcp-established", "c")
    assert_undisturbed(server)
