"""TCP sockets that a killed CRIU has left in repair mode.

CRIU puts established connections into that mode to read their state (tcp(7) does not tell of it; see
net/ipv4/tcp.c, do_tcp_setsockopt). While it lasts the socket sends and takes nothing, and who reads or writes it
gets EPERM. It ends with CRIU's own work only, not with CRIU's life.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress

from pyodcr.linux.processes import PROC

TCP_REPAIR = 19  # include/uapi/linux/tcp.h
SYS_PIDFD_GETFD = 438  # the same on every architecture


def end(pids: Iterable[int]) -> int:
    """Take every TCP socket of the processes out of repair mode; how many were in it.

    The processes should be frozen: between the end of CRIU and this they would see the errors. The kernel then sends
    a window probe on each connection, so the network must be open again.
    """
    ended = 0
    seen: set[str] = set()
    for pid, number, name in _sockets(pids):
        if name not in seen:  # processes share them
            seen.add(name)
            with suppress(OSError), _borrowed(pid, number) as borrowed:
                ended += _end(borrowed)
    return ended


def _sockets(pids: Iterable[int]) -> Iterator[tuple[int, int, str]]:
    for pid in pids:
        directory = PROC / str(pid) / "fd"
        with suppress(OSError):  # the process ended
            for number in os.listdir(directory):
                with suppress(OSError):
                    name = os.readlink(directory / number)
                    if name.startswith("socket:"):
                        yield pid, int(number), name


def _borrowed(pid: int, number: int) -> socket.socket:
    """A descriptor of our own for another process' socket (pidfd_getfd(2))."""
    process = os.pidfd_open(pid)
    try:
        descriptor = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, process, number, 0)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(process)
    return socket.socket(fileno=descriptor)


def _end(borrowed: socket.socket) -> bool:
    if borrowed.family not in (socket.AF_INET, socket.AF_INET6) or borrowed.type != socket.SOCK_STREAM:
        return False
    if not borrowed.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR):
        return False
    borrowed.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    return True
