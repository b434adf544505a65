"""Waiting for processes."""

from __future__ import annotations

import signal
import subprocess
import threading

from pyodcr.linux import boot, pidfd


def test_a_wait_of_any_length() -> None:
    """Longer than poll(2) can count: an archive or a user may ask for it."""
    with subprocess.Popen(["sleep", "100"]) as child:
        threading.Timer(0.1, child.kill).start()
        assert pidfd.wait(child.pid, boot.start_time(child.pid), 2.0**32)


def test_a_signal_goes_to_that_very_process() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        started = boot.start_time(child.pid)
        pidfd.send(child.pid, started + 1, signal.SIGKILL)
        assert boot.is_alive(child.pid, started), "another life of that pid was meant"
        pidfd.send(child.pid, started, signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM
    pidfd.send(child.pid, started, signal.SIGTERM)  # gone: nothing happens
