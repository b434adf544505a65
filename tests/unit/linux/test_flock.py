"""Locks that are gone with their holder, and may be removed with what they guard."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.linux import flock

HOLD = """
import sys
from pathlib import Path
from pyodcr.linux import flock
with flock.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def is_held(path: Path) -> bool:
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holder(path: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


def test_held_for_the_length_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "locks/one"
    with flock.exclusive(path):
        assert is_held(path)
    assert not is_held(path)
    with pytest.raises(KeyError), flock.exclusive(path):
        raise KeyError
    assert not is_held(path)


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as child:
        assert is_held(tmp_path / "lock")
        child.kill()
        child.wait()
        with flock.exclusive(tmp_path / "lock"):
            pass


def test_who_waited_for_a_removed_lock_holds_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    got: list[int] = []

    def wait() -> None:
        with flock.exclusive(path):
            got.append(path.stat().st_ino)

    with holder(path) as child:
        waiting = threading.Thread(target=wait)
        waiting.start()
        _until_opened_by_us(path)
        old = path.stat().st_ino
        path.unlink()
        path.touch()
        assert path.stat().st_ino != old
        child.kill()
    waiting.join(10)
    assert got == [path.stat().st_ino]


def _until_opened_by_us(path: Path) -> None:
    while str(path) not in [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]:
        pass


def test_it_is_not_passed_on_to_children(tmp_path: Path) -> None:
    with flock.exclusive(tmp_path / "lock"):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
            open_there = [os.path.realpath(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")]
            assert str(tmp_path / "lock") not in open_there
            child.kill()


def test_what_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught, flock.exclusive(tmp_path):
        pass
    assert str(tmp_path) in caught.value.message
