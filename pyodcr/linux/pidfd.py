"""Waiting for processes that are not our children, and signals to just them (pidfd_open(2))."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

from pyodcr.linux import boot

MAX_POLL_MS = 2**31 - 1  # poll(2) takes an int


def wait(pid: int, started: int, timeout_s: float | None = None) -> bool:
    """Wait until the process of that pid and start time is dead; False when the time is over first, or 24 days."""
    if not boot.is_alive(pid, started):
        return True
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not boot.is_alive(pid, started):  # the pid went to another process meanwhile
            return True
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(None if timeout_s is None else min(timeout_s * 1000, MAX_POLL_MS)))
    finally:
        os.close(fd)


def send(pid: int, started: int, number: int) -> None:
    """Send a signal to the process of that pid and start time; to none if that one is gone."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            if boot.is_alive(pid, started):
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
