"""What is true of a container that is about to be dumped, and of this host: the facts of :mod:`.preflight`.

All is read from /proc in one pass over the processes; nothing is stopped or changed. Processes come and go
meanwhile: what has vanished when we look is left out.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyodcr import process
from pyodcr.checkpoint import criu
from pyodcr.checkpoint.criu import CriuVersion, NetworkLock
from pyodcr.checkpoint.criulog import printable
from pyodcr.errors import ToolNotFound
from pyodcr.lifecycle.probe import RuntimeInfo
from pyodcr.linux import memory, mounts, processes, release
from pyodcr.linux.release import Release

LOCK_TOOLS: dict[NetworkLock, tuple[str, ...]] = {
    NetworkLock.IPTABLES: ("iptables-restore", "ip6tables-restore"),
    NetworkLock.NFTABLES: ("nft",),  # not for CRIU, which has libnftables, but to remove what a dead CRIU left
    NetworkLock.SKIP: (),
}

# include/net/tcp_states.h
TCP_STATES = {
    0x01: "ESTABLISHED",
    0x02: "SYN_SENT",
    0x03: "SYN_RECV",
    0x04: "FIN_WAIT1",
    0x05: "FIN_WAIT2",
    0x06: "TIME_WAIT",
    0x07: "CLOSE",
    0x08: "CLOSE_WAIT",
    0x09: "LAST_ACK",
    0x0A: "LISTEN",
    0x0B: "CLOSING",
}

# /proc/PID/fd/N has the name of the socket's protocol as this attribute (net/socket.c)
SOCKET_PROTOCOL_XATTR = "system.sockprotoname"
LOCAL_PROTOCOLS = ("UNIX", "NETLINK")  # and UNIX-STREAM


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """A TCP socket of the container. ``waiting``: connections that a listening one has not accepted yet."""

    pid: int
    command: str
    state: str
    local: str
    remote: str
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A process and something that it holds."""

    pid: int
    command: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that :func:`pyodcr.checkpoint.preflight.problems` decides on. Sizes are bytes."""

    kernel: Release
    criu: CriuVersion | None  # None: not installed
    effective_user: int
    capabilities: int  # CapEff of this process, a bit mask
    runtime: RuntimeInfo

    own_network: bool  # the container has a network namespace of its own, which CRIU locks
    network_lock: NetworkLock
    missing_tools: tuple[str, ...]  # of those that this way of locking takes

    tcp: tuple[TcpSocket, ...] = ()
    mptcp: tuple[Held, ...] = ()
    network_sockets: bool = False  # any that is neither unix nor netlink
    io_uring: tuple[Held, ...] = ()
    locks: tuple[Held, ...] = ()
    tcp_established: bool = False  # asked for
    file_locks: bool = False  # asked for

    memory_bytes: int = 0  # what CRIU will write of it, about
    staging: Path = Path("/")
    staging_free_bytes: int = 0
    hook_directory: Path = Path("/")
    hook_noexec: bool = False


def observe(
    *,
    init: int,
    pids: Collection[int],
    runtime: RuntimeInfo,
    staging: Path,
    hook_directory: Path,
    tcp_established: bool,
    file_locks: bool,
) -> Facts:
    """Look at the processes ``pids`` of a container whose first is ``init``; the directories need not exist yet."""
    lock = network_lock()
    sight = _Sight.of(pids)
    return Facts(
        kernel=release.kernel(),
        criu=_criu_version(),
        effective_user=os.geteuid(),
        capabilities=effective_capabilities(),
        runtime=runtime,
        own_network=_own_network(init),
        network_lock=lock,
        missing_tools=_missing(lock),
        tcp=tuple(_tcp_sockets(init, sight.sockets)),
        mptcp=sight.mptcp,
        network_sockets=sight.network_sockets,
        io_uring=sight.io_uring,
        locks=sight.locks,
        tcp_established=tcp_established,
        file_locks=file_locks,
        memory_bytes=_memory_bytes(pids) + _tmpfs_bytes(init),
        staging=staging,
        staging_free_bytes=free_bytes(staging),
        hook_directory=hook_directory,
        hook_noexec=is_noexec(hook_directory),
    )


def network_lock() -> NetworkLock:
    """How CRIU shall lock the network on this host: with iptables where it is complete, else with nftables.

    iptables first: at a restore its chain can be put in place before the network comes up, and CRIU takes it over.
    """
    if _missing(NetworkLock.IPTABLES) and not _missing(NetworkLock.NFTABLES):
        return NetworkLock.NFTABLES
    return NetworkLock.IPTABLES


def _missing(lock: NetworkLock) -> tuple[str, ...]:
    return tuple(tool for tool in LOCK_TOOLS[lock] if process.which(tool) is None)


def effective_capabilities() -> int:
    """CapEff of this process, a bit mask."""
    return int(_status("self").get("CapEff", "0"), 16)


def existing(path: Path) -> Path:
    """The nearest of ``path`` and its parents that is there."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def free_bytes(directory: Path) -> int:
    """What may still be written there; in a tmpfs also no more than there is memory for."""
    place = existing(directory)
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    return min(free, memory.host()["MemAvailable"]) if _fstype(place) == "tmpfs" else free


def is_noexec(directory: Path) -> bool:
    return bool(os.statvfs(existing(directory)).f_flag & os.ST_NOEXEC)


def _criu_version() -> CriuVersion | None:
    try:
        return criu.version()
    except ToolNotFound:
        return None


def _own_network(init: int) -> bool:
    with suppress(OSError):  # it has just ended
        return os.stat(f"/proc/{init}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
    return False


def is_isolated(init: int, own: Collection[int]) -> bool:
    """Whether a container of the processes ``own`` has a network with nothing but the loopback, and nobody else, in it.

    Others may have joined it (``--network container:NAME``), and have connections to its processes.
    """
    with suppress(OSError):
        interfaces = Path(f"/proc/{init}/net/dev").read_text().splitlines()[2:]
        return [line.partition(":")[0].strip() for line in interfaces] == ["lo"] and _sharers(init) <= set(own)
    return False


def _sharers(init: int) -> set[int]:
    """All processes in the network of one."""
    network, found = os.stat(f"/proc/{init}/ns/net").st_ino, set()
    for pid in processes.pids():
        with suppress(OSError):  # it has ended, or is a kernel thread
            if os.stat(f"/proc/{pid}/ns/net").st_ino == network:
                found.add(pid)
    return found


@dataclass(frozen=True, slots=True)
class _Sight:
    """What the processes' file descriptors show. ``sockets``: inode -> pid and command of a holder."""

    sockets: dict[int, tuple[int, str]]
    mptcp: tuple[Held, ...]
    network_sockets: bool
    io_uring: tuple[Held, ...]
    locks: tuple[Held, ...]

    @classmethod
    def of(cls, pids: Collection[int]) -> _Sight:
        sockets: dict[int, tuple[int, str]] = {}
        protocols: set[str] = set()
        mptcp: list[Held] = []
        io_uring: list[Held] = []
        locks: list[Held] = []
        for pid in pids:
            command = _command(pid)
            for fd, target in _descriptors(pid):
                if target.startswith("socket:["):
                    sockets[int(target[8:-1])] = (pid, command)
                    protocol = _protocol(pid, fd)
                    protocols.add(protocol)
                    if protocol == "MPTCP":
                        mptcp.append(Held(pid, command, f"file descriptor {fd}"))
                elif target == "anon_inode:[io_uring]":
                    io_uring.append(Held(pid, command, f"file descriptor {fd}"))
                elif target.startswith("/") and _is_locked(pid, fd):
                    locks.append(Held(pid, command, printable(target)))
        network = any(not protocol.startswith(LOCAL_PROTOCOLS) for protocol in protocols)
        return cls(sockets, tuple(mptcp), network, tuple(io_uring), tuple(locks))


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.name, os.readlink(entry.path)


def _protocol(pid: int, fd: str) -> str:
    try:
        return os.getxattr(f"/proc/{pid}/fd/{fd}", SOCKET_PROTOCOL_XATTR).rstrip(b"\0").decode()
    except OSError:
        return "UNIX"  # it is gone


def _is_locked(pid: int, fd: str) -> bool:
    """By /proc/PID/fdinfo, as CRIU looks: /proc/locks knows a flock only by the process that first took it."""
    with suppress(OSError):
        return "\nlock:" in Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    return False


def _command(pid: int) -> str:
    with suppress(OSError):
        return printable(Path(f"/proc/{pid}/comm").read_text(errors="replace"))
    return "?"


def _tcp_sockets(init: int, held: dict[int, tuple[int, str]]) -> Iterator[TcpSocket]:
    """Those of ``held`` in the namespace's tables; on the host's network most rows are other programs'."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/{init}/net/{table}", encoding="ascii") as rows:
            next(rows, None)
            for row in rows:
                fields = row.split()
                holder = held.get(int(fields[9]))
                if holder is not None:
                    yield tcp_socket(fields, *holder)


def tcp_socket(fields: list[str], pid: int, command: str) -> TcpSocket:
    """A row of /proc/PID/net/tcp (proc_pid_net(5)), split: 1 local, 2 remote, 3 state, 4 queues, 9 inode."""
    state = TCP_STATES.get(int(fields[3], 16), fields[3])
    waiting = int(fields[4].partition(":")[2], 16) if state == "LISTEN" else 0
    return TcpSocket(pid, command, state, _address(fields[1]), _address(fields[2]), waiting)


def _address(text: str) -> str:
    """``0100007F:1F90`` is 127.0.0.1:8080: words of the machine's byte order, the port a plain number."""
    digits, _, port = text.partition(":")
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(words) == 1:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"


def _memory_bytes(pids: Collection[int]) -> int:
    """What CRIU writes of the memory: every process' own pages, present or swapped, and the shared ones once.

    A cgroup's count would have the page cache in it. These counters cost nothing (smaps_rollup walks the page
    tables); shared memory may be of several segments, so its largest user is a lower bound.
    """
    private = shared = 0
    for pid in pids:
        status = _status(pid)
        private += _kilobytes(status, "RssAnon") + _kilobytes(status, "VmSwap")
        shared = max(shared, _kilobytes(status, "RssShmem"))
    return private + shared


def _tmpfs_bytes(init: int) -> int:
    """What CRIU packs of the tmpfs mounts of a container, at most: it compresses them."""
    used: dict[int, int] = {}
    with suppress(OSError):  # it has just ended
        for found in mounts.table(init):
            if found.fstype == "tmpfs" and found.root == "/":
                place = Path(f"/proc/{init}/root", *found.target.parts[1:])
                with suppress(OSError):
                    status = os.statvfs(place)
                    used[os.stat(place).st_dev] = (status.f_blocks - status.f_bfree) * status.f_frsize
    return sum(used.values())


def _status(pid: int | str) -> dict[str, str]:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def _kilobytes(values: dict[str, str], name: str) -> int:
    return int(values.get(name, "0 kB").split()[0]) * 1024


def _fstype(path: Path) -> str:
    """The type of the filesystem ``path`` is on: that of the longest mount point above it, the last one made."""
    place = path.resolve()
    above = [found for found in mounts.table() if found.target == place or found.target in place.parents]
    return max(reversed(above), key=lambda found: len(found.target.parts)).fstype if above else ""
