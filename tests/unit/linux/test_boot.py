"""Which process a pid meant."""

from __future__ import annotations

import subprocess

from pyodcr.linux import boot


def test_a_process_that_died_before_it_was_recorded_is_no_other() -> None:
    """Start time 0 stands for any process of the pid, which may come again."""
    with subprocess.Popen(["true"]) as child:
        pass
    assert boot.start_time_to_record(child.pid) == boot.GONE
    with subprocess.Popen(["sleep", "100"]) as another:
        assert boot.is_alive(another.pid, 0)
        assert boot.is_alive(another.pid, boot.start_time_to_record(another.pid))
        assert not boot.is_alive(another.pid, boot.GONE)
        another.kill()
