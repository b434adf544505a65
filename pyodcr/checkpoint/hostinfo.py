"""``version`` and ``info``: this installation and the host under it, by Podman's keys."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyodcr import __version__, process
from pyodcr.checkpoint import criu, observe
from pyodcr.checkpoint.hostcheck.programs import version_of
from pyodcr.config import SYSTEM_FILE, Config
from pyodcr.errors import PyodcrError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.network.netavark import find_helper
from pyodcr.lifecycle.paths import Paths
from pyodcr.lifecycle.storage.images import host_architecture
from pyodcr.linux import cgroups, files
from pyodcr.linux.cgroups import Layout

KIB = 1024


def versions(config: Config) -> JsonObject:
    """What is installed; an empty text stands for what is not."""
    return {
        "Version": __version__,
        "PythonVersion": platform.python_version(),
        "CriuVersion": _criu_version(),
        "CrunVersion": _runtime(config, "crun")["version"],
        "RuncVersion": _runtime(config, "runc")["version"],
        "ConmonVersion": _program(process.which("conmon"))["version"],
        "NetavarkVersion": _program(find_helper("netavark"))["version"],
        "Kernel": os.uname().release,
        "Os": "linux",
        "OsArch": f"linux/{host_architecture()}",
    }


def info(config: Config, containers: Sequence[Container], *, images: int) -> JsonObject:
    """The parts of ``podman info`` that apply, sizes in bytes; ``host.criu`` is ours."""
    return {
        "host": _host(config),
        "plugins": {"volume": ["local"], "network": ["bridge"], "log": ["k8s-file"]},
        "store": _store(config, containers, images),
        "version": versions(config),
    }


def _host(config: Config) -> JsonObject:
    memory = _memory()
    unified = cgroups.layout() is Layout.V2
    return {
        "arch": host_architecture(),
        "cgroupControllers": sorted(_controllers()),
        "cgroupManager": config.cgroup_manager,
        "cgroupVersion": "v2" if unified else "v1",
        "conmon": _program(process.which("conmon")),
        "cpus": os.cpu_count() or 1,
        "criu": {"path": str(process.which("criu") or ""), "version": _criu_version()},
        "databaseBackend": "sqlite",
        "distribution": _distribution(),
        "hostname": os.uname().nodename,
        "kernel": os.uname().release,
        "logDriver": "k8s-file",
        "memFree": memory.get("MemFree", 0),
        "memTotal": memory.get("MemTotal", 0),
        "networkBackend": "netavark",
        "networkBackendInfo": {
            "backend": "netavark",
            **_program(find_helper("netavark")),
            "dns": _program(find_helper("aardvark-dns")),
        },
        "ociRuntime": _runtime(config, ""),
        "os": "linux",
        "security": {
            "apparmorEnabled": _reads(Path("/sys/module/apparmor/parameters/enabled")) == "Y",
            "rootless": os.geteuid() != 0,
            "seccompEnabled": Path("/proc/sys/kernel/seccomp").exists(),
            "selinuxEnabled": Path("/sys/fs/selinux/enforce").exists(),
        },
        "swapFree": memory.get("SwapFree", 0),
        "swapTotal": memory.get("SwapTotal", 0),
        "uptimeSeconds": int(float(_reads(Path("/proc/uptime")).partition(" ")[0] or 0)),
    }


def _store(config: Config, containers: Sequence[Container], images: int) -> JsonObject:
    paths = Paths(config.root, config.runroot)
    space = os.statvfs(observe.existing(config.root))
    running = sum(container.status is Status.RUNNING for container in containers)
    paused = sum(container.status is Status.PAUSED for container in containers)
    return {
        "configFile": str(SYSTEM_FILE),
        "containerStore": {
            "number": len(containers),
            "paused": paused,
            "running": running,
            "stopped": len(containers) - paused - running,
        },
        "graphDriverName": "overlay",
        "graphRoot": str(config.root),
        "graphRootAllocated": space.f_blocks * space.f_frsize,
        "graphRootUsed": (space.f_blocks - space.f_bfree) * space.f_frsize,
        "imageStore": {"number": images},
        "runRoot": str(config.runroot),
        "volumePath": str(paths.volumes),
    }


def _runtime(config: Config, name: str) -> JsonObject:
    """The runtime of that name, or the default one."""
    try:
        found = probe.runtime(config, name) if name else probe.default_runtime(config)
    except PyodcrError:
        return {"name": name, "path": "", "version": ""}
    return {"name": found.name, "path": str(found.path), "version": found.version}


def _program(path: Path | None) -> JsonObject:
    if path is None:
        return {"path": "", "version": ""}
    version = ""
    with suppress(PyodcrError):
        version = version_of(path)
    return {"path": str(path), "version": version}


def _criu_version() -> str:
    with suppress(PyodcrError):
        return str(criu.version())
    return ""


def _controllers() -> set[str]:
    unified = [hierarchy.root for hierarchy in cgroups.hierarchies() if hierarchy.unified]
    legacy = {name for hierarchy in cgroups.hierarchies() for name in hierarchy.controllers}
    known = {line.split()[0] for line in _reads(Path("/proc/cgroups")).splitlines()[1:]}
    return (legacy & known).union(*(_reads(root / "cgroup.controllers").split() for root in unified))


def _memory() -> dict[str, int]:
    """/proc/meminfo, in bytes."""
    found = {}
    for line in _reads(Path("/proc/meminfo")).splitlines():
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        found[name] = int(number) * (KIB if unit == "kB" else 1)
    return found


def _distribution() -> JsonObject:
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        found = {}
    return {
        "distribution": found.get("ID", "unknown"),
        "version": found.get("VERSION_ID", ""),
        "codename": found.get("VERSION_CODENAME", ""),
    }


def _reads(path: Path) -> str:
    return (files.read(path) or "").strip()
