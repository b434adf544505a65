"""Waiting for processes that are not our children (pidfd_open(2))."""

from __future__ import annotations

import os
import select

from pyodcr.linux import boot


def wait(pid: int, started: int, timeout_s: float | None = None) -> bool:
    """Wait until the process of that pid and start time is dead; False when the time is over first."""
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
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(fd)
