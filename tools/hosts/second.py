"""Another host on the same machine: run inside the first one, it gets everything of its own but the kernel.

Its root is an overlay over the same pristine tree, its network a namespace joined to the first host's by a veth pair
(or to nothing), its cgroups a namespace below the first host's. /shared is the one directory both see.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cgroups, init, root
from . import syscalls as sc
from .errors import HostError
from .session import FAILED, in_new_pid_namespace

_NAMESPACES, _UP = b"n", b"u"
_UNSHARED = sc.CLONE_NEWNS | sc.CLONE_NEWUTS | sc.CLONE_NEWIPC | sc.CLONE_NEWNET


@dataclass(frozen=True, slots=True)
class Link:
    """The cable between the two hosts: `near` is this end's address, `far` the new host's `eth0`."""

    device: str
    near: ipaddress.IPv4Interface
    far: ipaddress.IPv4Interface

    @classmethod
    def of(cls, name: str, address: str) -> Link:
        """The link for a host called `name` at `address` (10.1.2.3/24); this end gets the first other address."""
        try:
            far = ipaddress.IPv4Interface(address)
            near = next(each for each in far.network.hosts() if each != far.ip)
        except (ValueError, StopIteration) as error:
            raise HostError(f"{address} is not an address with a network of two or more: {error}") from error
        return cls(f"to-{name}"[:15], ipaddress.IPv4Interface(f"{near}/{far.network.prefixlen}"), far)

    def connect(self, pid: int) -> None:
        """Lay the cable into the network namespace of process `pid`."""
        self.cut()  # that of a host which was killed may still be on its way out
        _ip("link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("address", "add", str(self.near), "dev", self.device)
        _ip("link", "set", self.device, "up")

    def cut(self) -> None:
        """Remove the cable, both ends, if it is there."""
        subprocess.run(["ip", "link", "delete", self.device], stderr=subprocess.DEVNULL, check=False)

    def configure_far_end(self) -> None:
        """The new host's half, run in its network namespace."""
        _ip("address", "add", str(self.far), "dev", "eth0")
        _ip("link", "set", "eth0", "up")
        _ip("route", "add", "default", "via", str(self.near.ip))


def run(argv: Sequence[str], *, name: str, address: str, idle: bool) -> int:
    """Start the host, run `argv` as its main command and return its exit status. Raises HostError, OSError.

    Without an `address` it has no link. With `idle` a line of JSON tells, once the host is up, how to join it: {"pid":
    of its init as seen from here, "cgroup_procs": [the files that take a process into its cgroups], "near": the address
    of this end of the link}.
    """
    if not os.environ.get("PYODCR_TESTHOST"):
        raise HostError("a second host is started from inside the first", hint="tools/testhost enter")
    link = Link.of(name, address) if address else None
    scratch = Path("/.hosts", name)
    scratch.mkdir(exist_ok=True)
    lock = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise HostError(f"a host called {name} is already there") from None
    mounted = cgroups.hierarchies()
    if not idle:  # whoever joins an idle one stays in the first host's leaf
        mounted = cgroups.reveal_v2(mounted, Path("/mnt"))
    planned = cgroups.plan(name, mounted)
    tops = [path for _, path in planned]
    layout = root.Layout(
        tree=Path("/.tree"),
        venv=Path("/opt/venv"),
        checkout=Path("/src"),
        scratch=scratch,
        shared=Path("/shared"),
        mount_cgroups=lambda target: cgroups.mount_view(planned, target),
    )
    news, tell = os.pipe()
    go, let_go = os.pipe()

    def become_host() -> int:
        os.close(news)
        os.close(let_go)
        cgroups.join(planned)
        sc.unshare(_UNSHARED)
        socket.sethostname(name)
        os.write(tell, _NAMESPACES)
        if not os.read(go, 1):
            return FAILED  # the other side could not lay the link, and says so
        _ip("link", "set", "lo", "up")
        if link:
            link.configure_far_end()
        root.enter(layout, hostname=name)
        os.chdir("/src")
        os.write(tell, _UP)
        return init.run(argv, init.environment(os.environ))

    def attend(pid: int) -> None:
        os.close(tell)
        os.close(go)
        try:
            if os.read(news, 1) == _NAMESPACES:
                if link:
                    link.connect(pid)
                os.write(let_go, b"g")
        finally:
            os.close(let_go)
        if os.read(news, 1) == _UP and idle:
            procs = [str(path / "cgroup.procs") for path in cgroups.members(planned)]
            print(
                json.dumps({"pid": pid, "cgroup_procs": procs, "near": str(link.near.ip) if link else ""}), flush=True
            )

    try:
        _clear(scratch, tops)  # what a killed one of this name has left
        cgroups.create(planned)
        layout.prepare()
        return in_new_pid_namespace(become_host, meanwhile=attend)
    finally:
        if link:
            link.cut()
        _clear(scratch, tops)
        scratch.rmdir()
        os.close(lock)


def _clear(scratch: Path, tops: list[Path]) -> None:
    cgroups.remove(tops)
    for path in scratch.iterdir():
        shutil.rmtree(path)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise HostError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
