"""Which processes are the engine's own, and how much memory they have."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.memory import Watch, is_own, pss_bytes


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (["/opt/venv/bin/python3", "-m", "pyodcr", "checkpoint"], True),
        (["/usr/bin/podman", "container", "restore"], True),
        (["/usr/bin/conmon", "--api-version", "1"], True),
        (["criu", "swrk", "5"], False),
        (["/usr/bin/crun", "--root", "/run/crun", "checkpoint"], False),
        (["/usr/bin/runc", "restore"], False),
        (["/usr/bin/python3", "-I", "-S", "/workload.py", "512", "0"], False),
        ([""], False),
    ],
)
def test_own(words: list[str], own: bool) -> None:
    assert is_own("\0".join(words).encode()) is own


def test_pss_is_read_off_a_rollup() -> None:
    assert (
        pss_bytes("5600-7ffd ---p 00000000 00:00 0 [rollup]\nRss:   900 kB\nPss:   512 kB\nPss_Anon: 400 kB\n")
        == 512 << 10
    )
    assert pss_bytes("") == 0


def test_a_watch_sees_the_most_there_was(tmp_path: Path) -> None:
    members = tmp_path / "cgroup.procs"
    members.write_text(f"{os.getpid()}\n999999999\n")
    with Watch(members) as watch:
        ballast = bytearray(64 << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
        deadline = time.monotonic() + 20
        while watch.peak_bytes < len(ballast) and time.monotonic() < deadline:
            time.sleep(0.01)
        del ballast
    assert watch.peak_bytes > 64 << 20
