"""The temporary files of what is being written: whose they are, and that nobody else can wait there."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.linux import files

DEAD = "0123abcd.tmp"


def dead_process() -> int:
    with subprocess.Popen(["true"]) as done:
        pass
    return done.pid


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old", mode=0o640)
    with suppress(KeyError), files.replacing(path) as sink:
        sink.write(b"half")
        raise KeyError
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["file"])
    files.write(path, "new", mode=0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777, os.listdir(tmp_path)) == ("new", 0o640, ["file"])


def test_nobody_can_wait_at_the_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a name that was guessed: what lies there is neither followed nor written to nor removed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(os, "urandom", lambda _: bytes.fromhex("0123abcd"))
    names = [f".file.{os.getpid()}.tmp", f".file.{os.getpid()}.{DEAD}"]
    (tmp_path / names[0]).hardlink_to(victim)
    (tmp_path / names[1]).symlink_to(victim)
    with pytest.raises(SystemFailed, match="file exists"):
        files.write(tmp_path / "file", "mine")
    assert victim.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "victim"])


def test_two_writes_of_one_process_have_two_names(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "file") as first, files.replacing(tmp_path / "file") as second:
        assert len(os.listdir(tmp_path)) == 2
        first.write(b"first")
        second.write(b"second")
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    pid = dead_process()
    kept = [f".file.{os.getppid()}.{DEAD}", f".other.{pid}.{DEAD}", f".file.{pid}.tmp", ".file.x.0123abcd.tmp"]
    for name in (f".file.{pid}.{DEAD}", *kept):
        (tmp_path / name).touch()
    files.write(tmp_path / "file", "mine")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "file"])
