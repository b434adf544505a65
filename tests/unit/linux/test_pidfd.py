"""Waiting for processes."""

from __future__ import annotations

import subprocess
import threading

from pyodcr.linux import boot, pidfd


def test_a_wait_of_any_length() -> None:
    """Longer than poll(2) can count: an archive or a user may ask for it."""
    with subprocess.Popen(["sleep", "100"]) as child:
        threading.Timer(0.1, child.kill).start()
        assert pidfd.wait(child.pid, boot.start_time(child.pid), 2.0**32)
