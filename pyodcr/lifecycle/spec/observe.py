"""Looks at this host for :mod:`.facts`: the one module here that asks the kernel about itself."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.spec.capabilities import names_of
from pyodcr.lifecycle.spec.facts import Kernel
from pyodcr.linux import cgroups, files, release

PORT_ATTEMPTS = 64
_SOCKET_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}


def kernel() -> Kernel:
    capabilities = _bounding_set()
    version = 2 if cgroups.layout() is cgroups.Layout.V2 else 1
    return Kernel(
        machine=os.uname().machine,
        release=release.kernel(),
        hostname=socket.gethostname(),
        capabilities=capabilities,
        cgroup_version=version,
        swap_limit=_counts_swap(version),
        mqueue="\tmqueue\n" in (files.read(Path("/proc/filesystems")) or ""),
        apparmor=(files.read(Path("/sys/module/apparmor/parameters/enabled")) or "").strip() == "Y",
        selinux=Path("/sys/fs/selinux/enforce").exists(),
        rlimit_ceilings={} if "CAP_SYS_RESOURCE" in capabilities else _hard_limits(),
    )


def free_port(protocol: str, count: int) -> int:
    """The first of ``count`` ports in a row that nobody listens on now.

    The kernel picks the first; a race with another program shows when the ports are bound at start.
    """
    for _ in range(PORT_ATTEMPTS):
        with socket.socket(socket.AF_INET, _SOCKET_KINDS[protocol]) as probe:
            probe.bind(("", 0))
            first: int = probe.getsockname()[1]
        if first + count <= 65536 and all(_is_free(protocol, first + offset) for offset in range(1, count)):
            return first
    raise SystemFailed(f"there are no {count} free {protocol} ports in a row on this host")


def _is_free(protocol: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, _SOCKET_KINDS[protocol]) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _bounding_set() -> tuple[str, ...]:
    status = files.read(Path("/proc/self/status")) or ""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            return names_of(int(value, 16))
    raise SystemFailed("/proc/self/status does not tell our capabilities")


def _counts_swap(cgroup_version: int) -> bool:
    """v1: the file is there unless booted with swapaccount=0. v2: the root has none, so any child answers."""
    for hierarchy in cgroups.hierarchies():
        if cgroup_version == 1 and "memory" in hierarchy.controllers:
            return (hierarchy.root / "memory.memsw.limit_in_bytes").exists()
        if cgroup_version == 2 and hierarchy.unified:
            limited = list(hierarchy.root.glob("*/memory.max"))
            return not limited or any((file.parent / "memory.swap.max").exists() for file in limited)
    return False


def _hard_limits() -> dict[str, int]:
    return {name: resource.getrlimit(getattr(resource, name))[1] for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC")}
