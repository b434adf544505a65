"""The real /proc of a real process: a child of ours holds what a container's process may hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.checkpoint import observe
from pyodcr.checkpoint.observe import Facts, tcp_socket
from pyodcr.lifecycle.probe import RuntimeInfo

RUNTIME = RuntimeInfo("crun", Path("/usr/bin/crun"), "1.28", can_run=True, can_checkpoint=True)

CONNECTED = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
"""
WAITING = """
import socket
server = socket.create_server(("::1", 0), family=socket.AF_INET6)
client = socket.create_connection(server.getsockname()[:2])
"""
LOCKED = """
import fcntl
file = open({path!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
"""
UNIX_ONLY = """
import socket
pair = socket.socketpair()
"""
MEMORY = """
block = bytearray(b"x" * (64 << 20))
"""


@contextmanager
def process(script: str) -> Iterator[int]:
    """A child that has run ``script`` and waits."""
    program = f"{script}\nprint('ready', flush=True)\ninput()"
    argv = [sys.executable, "-I", "-S", "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child.pid
        child.communicate(b"\n")


def look(pid: int, directory: Path) -> Facts:
    return observe.observe(
        init=pid,
        pids=[pid],
        runtime=RUNTIME,
        staging=directory / "staging" / "not-yet-there",
        hook_directory=directory,
        tcp_established=False,
        file_locks=False,
    )


def test_a_connection_is_seen_from_both_ends(tmp_path: Path) -> None:
    with process(CONNECTED) as pid:
        facts = look(pid, tmp_path)
    assert sorted(found.state for found in facts.tcp) == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
    server = next(found for found in facts.tcp if found.state == "LISTEN")
    client = next(found for found in facts.tcp if found.remote == server.local)
    assert (client.pid, client.state) == (pid, "ESTABLISHED")
    assert server.local.startswith("127.0.0.1:")
    assert facts.network_sockets


def test_a_connection_nobody_accepted_waits(tmp_path: Path) -> None:
    with process(WAITING) as pid:
        facts = look(pid, tmp_path)
    (server,) = (found for found in facts.tcp if found.state == "LISTEN")
    assert server.waiting == 1
    assert server.local.startswith("[::1]:")


def test_sockets_of_other_processes_are_not_the_containers(tmp_path: Path) -> None:
    with process(CONNECTED), process(UNIX_ONLY) as pid:
        facts = look(pid, tmp_path)
    assert facts.tcp == ()
    assert not facts.network_sockets


def test_a_lock_is_seen_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "the\033[31m.lock"
    with process(LOCKED.format(path=str(path))) as pid:
        facts = look(pid, tmp_path)
    (held,) = facts.locks
    assert (held.pid, held.what) == (pid, str(path).replace("\033", "?"))


def test_memory_is_counted(tmp_path: Path) -> None:
    with process(MEMORY) as pid, process("") as small:
        large = look(pid, tmp_path).memory_bytes
        assert large - look(small, tmp_path).memory_bytes > 60 << 20


def test_a_container_that_has_just_ended_holds_nothing(tmp_path: Path) -> None:
    with process(CONNECTED) as pid:
        pass
    facts = look(pid, tmp_path)
    assert (facts.tcp, facts.locks, facts.memory_bytes, facts.own_network) == ((), (), 0, False)


def test_directories_need_not_exist_yet(tmp_path: Path) -> None:
    assert observe.existing(tmp_path / "a" / "b") == tmp_path
    assert observe.free_bytes(tmp_path / "a" / "b") > 0
    assert not observe.is_noexec(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "0: 0200590A:18EB 0300590A:A112 01 00000000:00000000 00:00000000 00000000 0 0 91 1",
            ("ESTABLISHED", "10.89.0.2:6379", "10.89.0.3:41234", 0),
        ),
        (
            "1: 00000000:0050 00000000:0000 0A 00000000:00000005 00:00000000 00000000 0 0 92 1",
            ("LISTEN", "0.0.0.0:80", "0.0.0.0:0", 5),
        ),
        (
            "2: 0000000000000000FFFF00000200590A:0050 00000000000000000000000001000000:0016 08 0:7 0 0 0 0 93",
            ("CLOSE_WAIT", "[::ffff:10.89.0.2]:80", "[::1]:22", 0),
        ),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="these rows are of a little-endian kernel")
def test_rows_of_the_kernels_table(row: str, expected: tuple[str, str, str, int]) -> None:
    found = tcp_socket(row.split(), 1, "x")
    assert (found.state, found.local, found.remote, found.waiting) == expected
