"""``HostConfig``: what the container gets from the host, and what it may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.inspection import mounts, network
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network.mode import mode_of
from pyodcr.lifecycle.spec import capabilities, resources
from pyodcr.lifecycle.spec.annotation import ANNOTATION


def describe(config: ContainerConfig, spec: JsonObject, *, default_parent: str) -> JsonObject:
    """``default_parent`` is the cgroup parent that is not worth telling."""
    annotations: Mapping[str, str] = spec.get("annotations") or {}
    process: Mapping[str, Any] = spec.get("process") or {}
    return {
        "Binds": mounts.binds(config),
        "CgroupManager": config.cgroup_manager,
        "CgroupMode": _namespace(spec, "cgroup", config.cgroup_container),
        "ContainerIDFile": annotations.get(f"{ANNOTATION}.cid-file", ""),
        "LogConfig": {
            "Type": config.log_driver,
            "Config": None,
            "Path": config.log_path,
            "Tag": "",
            "Size": f"{config.log_size_bytes}B",
        },
        "NetworkMode": str(mode_of(config)),
        "PortBindings": Table(network.bindings(config.ports) if config.own_netns else {}),
        "RestartPolicy": {"Name": config.restart_policy or "no", "MaximumRetryCount": config.restart_retries},
        "AutoRemove": config.auto_remove,
        "AutoRemoveImage": False,
        "Annotations": Table(annotations),
        "VolumeDriver": "",
        "VolumesFrom": [name for name in annotations.get(f"{ANNOTATION}.volumes-from", "").split(";") if name],
        **_capabilities(process, privileged=config.privileged),
        "Dns": list(config.dns_servers),
        "DnsOptions": list(config.dns_options),
        "DnsSearch": list(config.dns_search),
        "ExtraHosts": list(config.extra_hosts),
        "HostsFile": "",
        "GroupAdd": list(config.groups),
        "IpcMode": _ipc(config, spec),
        "Cgroup": "",
        "Cgroups": "disabled" if config.no_cgroups else "default",
        "Links": None,
        "OomScoreAdj": process.get("oomScoreAdj", 0),
        "PidMode": _namespace(spec, "pid", config.pid_container),
        "Privileged": config.privileged,
        "PublishAllPorts": annotations.get(f"{ANNOTATION}.publish-all") == "TRUE",
        "ReadonlyRootfs": bool((spec.get("root") or {}).get("readonly")),
        "SecurityOpt": _security(spec, process, annotations),
        "Tmpfs": Table(mounts.tmpfs(config)),
        "UTSMode": _namespace(spec, "uts", config.uts_container),
        "UsernsMode": "",
        "ShmSize": config.shm_size_bytes,
        "Runtime": "oci",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "CgroupParent": "" if config.cgroup_parent == default_parent else config.cgroup_parent,
        **_resources((spec.get("linux") or {}).get("resources") or {}),
        "Devices": _devices(spec) if not config.privileged else [],
        "DiskQuota": 0,
        "Ulimits": [
            {"Name": limit["type"], "Soft": _signed(limit["soft"]), "Hard": _signed(limit["hard"])}
            for limit in process.get("rlimits") or ()
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _capabilities(process: Mapping[str, Any], *, privileged: bool) -> JsonObject:
    """What was added to and dropped from the default set, read off the bounding set."""
    bounding = list((process.get("capabilities") or {}).get("bounding") or ())
    usual = capabilities.ALL if privileged else capabilities.DEFAULT
    return {
        "CapAdd": [name for name in bounding if name not in usual],
        "CapDrop": sorted(set(usual) - set(bounding)),
    }


def _namespace(spec: JsonObject, kind: str, container: str) -> str:
    """``host``, ``private``, ``container:ID`` or ``ns:PATH``."""
    if container:
        return f"container:{container}"
    entries = (spec.get("linux") or {}).get("namespaces") or ()
    found = next((entry for entry in entries if entry.get("type") == kind), None)
    if found is None:
        return "host"
    return f"ns:{found['path']}" if found.get("path") else "private"


def _ipc(config: ContainerConfig, spec: JsonObject) -> str:
    mode = _namespace(spec, "ipc", config.ipc_container)
    if mode != "private":
        return mode
    if config.no_shm:
        return "none"
    return "private" if config.extra.get("NOShmShare") else "shareable"


def _security(spec: JsonObject, process: Mapping[str, Any], annotations: Mapping[str, str]) -> list[str]:
    found = ["no-new-privileges"] if process.get("noNewPrivileges") else []
    for name in ("label", "seccomp", "apparmor"):
        if annotations.get(f"{ANNOTATION}.{name}"):
            found.append(f"{name}={annotations[f'{ANNOTATION}.{name}']}")
    if "maskedPaths" not in (spec.get("linux") or {}):
        found.append("unmask=all")
    return found


def _resources(limits: Mapping[str, Any]) -> JsonObject:
    cpu, memory, block = (limits.get(name) or {} for name in ("cpu", "memory", "blockIO"))
    period, quota = cpu.get("period", 0), cpu.get("quota", 0)
    return {
        "CpuShares": cpu.get("shares", 0),
        "Memory": memory.get("limit", 0),
        "NanoCpus": quota * 10_000 if period == resources.CPU_PERIOD_US else 0,
        "BlkioWeight": block.get("weight", 0),
        "BlkioWeightDevice": None,
        "BlkioDeviceReadBps": None,
        "BlkioDeviceWriteBps": None,
        "BlkioDeviceReadIOps": None,
        "BlkioDeviceWriteIOps": None,
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "KernelMemory": 0,
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "MemorySwappiness": memory.get("swappiness", -1),
        "OomKillDisable": bool(memory.get("disableOOMKiller")),
        "PidsLimit": (limits.get("pids") or {}).get("limit", 0),
        "CgroupConf": Table(limits.get("unified") or {}),
    }


def _devices(spec: JsonObject) -> list[JsonObject]:
    return [
        {"PathOnHost": device["path"], "PathInContainer": device["path"], "CgroupPermissions": ""}
        for device in (spec.get("linux") or {}).get("devices") or ()
    ]


def _signed(limit: int) -> int:
    """RLIM_INFINITY as Go's int64 shows it."""
    return -1 if limit >= 2**63 else limit
