"""Network namespaces that outlive the process that made them: nsfs bind mounts, as `ip netns add` makes them.

The files lie under RUNROOT/netns, not in /run/netns, so `ip netns` does not list them; programs are
sent inside with nsenter(1), see :func:`inside`.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from pyodcr.errors import SystemFailed
from pyodcr.linux import files, mounts, namespaces

# linux/sockios.h and linux/if.h
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def exists(path: Path) -> bool:
    """Whether a namespace is mounted there; the bare file of a half-made one does not count."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev  # all of nsfs is one device
    except OSError:
        return False


def create(path: Path) -> None:
    """Make a new network namespace with its loopback up; one that was there already is left behind for it."""
    remove(path)
    files.make_directory(path.parent)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise files.failed("create", path, error) from error

    def fill() -> None:
        mounts.bind(Path("/proc/thread-self/ns/net"), path, recursive=False)
        _loopback_up()

    try:
        namespaces.in_new_network(fill)
    except BaseException:
        remove(path)
        raise


def remove(path: Path) -> None:
    """Unmount and unlink; the namespace itself goes, with its interfaces, when the last process in it is gone."""
    while mounts.unmount(path, lazy=True):
        continue
    files.remove(path)


def inside(path: Path, *argv: str | Path) -> list[str | Path]:
    """The argument list that runs ``argv`` in the namespace at ``path``."""
    return ["nsenter", f"--net={path}", "--", *argv]


def _loopback_up() -> None:
    import socket

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
            request = fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
            _, flags = struct.unpack("16sH22x", request)
            fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
    except OSError as error:
        raise SystemFailed(f"cannot bring up the loopback interface: {str(error.strerror).lower()}") from error
