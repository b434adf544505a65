"""Who runs with which arguments, and who is whose child."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.linux import processes

# a shell with a child that waits (in the background it would read /dev/null), which says both their pids
FAMILY = "exec 3<&0; cat <&3 & echo $$ $!; wait"


@contextmanager
def family(word: str) -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    with subprocess.Popen(["sh", "-c", FAMILY, word], stdin=read, stdout=subprocess.PIPE) as child:
        os.close(read)
        assert child.stdout is not None
        parent, grandchild = map(int, child.stdout.readline().split())
        try:
            yield parent, grandchild
        finally:
            os.close(write)
            child.kill()


def test_arguments() -> None:
    with family("a word of its own") as (parent, _):
        assert processes.arguments(parent) == ("sh", "-c", FAMILY, "a word of its own")
        assert parent in processes.with_argument("a word of its own")  # and its child, until it has become cat
        assert processes.with_argument("a word of its") == ()
    assert processes.arguments(parent) == ()
    assert processes.arguments(0) == ()


def test_descendants() -> None:
    with family("x") as (parent, child):
        assert processes.descendants([parent]) == (child,)
        ours = processes.descendants([os.getpid()])
        assert ours.index(parent) < ours.index(child)
        assert os.getpid() not in ours
        assert processes.descendants([child]) == ()


def test_families_are_killed_whole() -> None:
    with family("x") as (parent, child):
        watch = [os.pidfd_open(pid) for pid in (parent, child)]
        processes.kill_families([parent])
        for fd in watch:
            assert select.select([fd], [], [], 0)[0], "it is dead already"
            os.close(fd)


def test_neither_we_nor_everybody_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    monkeypatch.setattr(processes, "DEATH_S", 0.0)
    with family("x") as (parent, child):
        processes.kill_families([0, 1, os.getpid()])
        assert {parent, child} <= set(killed)
        assert not {0, 1, os.getpid(), os.getppid()} & set(killed)
        killed.clear()
        processes.kill_families([0, 1])
        assert killed == []


def test_processes_by_the_name_of_their_program() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.pid in processes.named("cat")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid not in processes.named("cat"), "a zombie does nothing any more"


def test_who_has_a_file_open(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as log, subprocess.Popen(["sleep", "100"], stdout=log) as child:
        try:
            assert processes.having_open(path, "sleep") == (child.pid,)
            assert processes.having_open(path, "criu") == ()
            assert processes.having_open(tmp_path / "other", "sleep") == ()
        finally:
            child.kill()


def test_children_and_zombies() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        (found,) = (each for each in processes.children(os.getpid()) if each.pid == child.pid)
        assert not found.zombie
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        (found,) = (each for each in processes.children(os.getpid()) if each.pid == child.pid)
        assert found.zombie


def test_who_is_dying() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        assert not processes.is_dying(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.is_dying(child.pid), "a zombie is"
    assert not processes.is_dying(child.pid), "the dead are not"
