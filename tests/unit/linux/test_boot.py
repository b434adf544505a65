"""Which process a pid meant."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pyodcr.linux import boot


def test_boot_id() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", boot.boot_id())


def test_a_process_and_its_end() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        started = boot.start_time(child.pid)
        assert started >= boot.own_start_time() > 0
        assert boot.is_alive(child.pid, started)
        assert not boot.is_alive(child.pid, started + 1), "that was another process"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}").exists()
        assert not boot.is_alive(child.pid, started), "a zombie is dead"
    assert boot.start_time(child.pid) == 0


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_no_process(pid: int) -> None:
    assert boot.start_time(pid) == 0
    assert not boot.is_alive(pid, 0)
    assert not boot.is_alive(pid, 1)


def test_a_name_that_looks_like_the_fields_after_it() -> None:
    script = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') Z 0 (x', 0, 0, 0); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert ") Z 0 (x" in Path(f"/proc/{child.pid}/stat").read_text()
        assert boot.is_alive(child.pid, boot.start_time(child.pid))
        child.kill()


def test_a_process_that_died_before_it_was_recorded_is_no_other() -> None:
    """Start time 0 stands for any process of the pid, which may come again."""
    with subprocess.Popen(["true"]) as child:
        pass
    assert boot.start_time_to_record(child.pid) == boot.GONE
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as another:
        assert boot.is_alive(another.pid, 0)
        assert boot.is_alive(another.pid, boot.start_time_to_record(another.pid))
        assert not boot.is_alive(another.pid, boot.GONE)
        another.kill()
