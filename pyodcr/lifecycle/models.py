"""What a container is, in frozen values.

:class:`ContainerConfig` is what it was created to be and hardly ever changes; its JSON *is* libpod's
``config.dump`` (Podman 4 and 5 keys), so an archive carries it as it stands and a Podman archive
reads into it; keys we do not know stay in ``extra``. :class:`ContainerState` is what happened to it.
:class:`Container` is a snapshot of both: verbs get one, decide, act, and record a new one.

Times are aware datetimes, sizes bytes, timeouts seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pyodcr.jsonio import key


class Status(StrEnum):
    """libpod's container states, by the words Podman shows."""

    CONFIGURED = "created"  # in the database only
    CREATED = "initialized"  # in the OCI runtime, not started
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"  # dead, not yet cleaned up
    PAUSED = "paused"
    EXITED = "exited"  # dead and cleaned up
    REMOVING = "removing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """A published port range, as netavark and libpod write it."""

    host_ip: str = key("host_ip", "", keep=True)
    container_port: int = key("container_port", keep=True)
    host_port: int = key("host_port", 0, keep=True)
    range: int = key("range", 1, keep=True)
    protocol: str = key("protocol", "tcp", keep=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """How a container joins one network."""

    static_ips: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    static_mac: str = ""
    interface_name: str = key("interface_name", "", keep=True)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedVolume:
    """A volume of the store on ``dest``."""

    name: str = key("volumeName", keep=True)
    dest: str = key("dest", keep=True)
    options: tuple[str, ...] = key("options", ())
    anonymous: bool = key("setAnonymous", False)
    sub_path: str = key("SubPath", "")
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayVolume:
    """``-v /host:/dest:O``: a directory under a throw-away overlay."""

    dest: str = key("dest", keep=True)
    source: str = key("source", keep=True)
    options: tuple[str, ...] = key("options", ())
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """libpod's ContainerConfig (``config.dump``), the parts we act on named, the rest in ``extra``.

    ``spec`` is the OCI runtime spec as asked for; mounts, root and namespace paths of this host
    are put in when the container is initialised (:mod:`pyodcr.lifecycle.spec.finalize`).
    """

    id: str = key("id", keep=True)
    name: str = key("name", keep=True)
    spec: Mapping[str, Any] = key("spec", factory=dict, keep=True)
    created_at: datetime | None = key("createdTime", None)
    create_command: tuple[str, ...] = key("CreateCommand", ())
    runtime: str = key("runtime", "", keep=True)

    # root filesystem: an image, or a directory of the host
    image_id: str = key("rootfsImageID", "")
    image_name: str = key("rootfsImageName", "")
    raw_image_name: str = key("RawImageName", "")
    rootfs: str = key("rootfs", "")
    rootfs_overlay: bool = key("rootfs_overlay", False)
    static_dir: str = key("staticDir", "")
    shm_dir: str = key("ShmDir", "")
    shm_size_bytes: int = key("shmSize", 65_536_000)
    no_shm: bool = key("NoShm", False)  # --ipc host or none: /dev/shm is not ours
    named_volumes: tuple[NamedVolume, ...] = key("namedVolumes", ())
    overlay_volumes: tuple[OverlayVolume, ...] = key("overlayVolumes", ())
    create_working_dir: bool = key("createWorkingDir", False)

    privileged: bool = key("privileged", False)
    process_label: str = key("ProcessLabel", "")
    mount_label: str = key("MountLabel", "")
    label_options: tuple[str, ...] = key("labelopts", ())
    user: str = key("user", "")
    groups: tuple[str, ...] = key("groups", ())

    # namespaces shared with another container (its ID), and what must start first
    ipc_container: str = key("ipcNsCtr", "")
    net_container: str = key("netNsCtr", "")
    pid_container: str = key("pidNsCtr", "")
    uts_container: str = key("utsNsCtr", "")
    user_container: str = key("userNsCtr", "")
    cgroup_container: str = key("cgroupNsCtr", "")
    requires: tuple[str, ...] = key("Dependencies", ())

    own_netns: bool = key("createNetNS", False)
    network_mode: str = key("networkMode", "")  # bridge, none, host, container, ns
    networks: Mapping[str, NetworkOptions] = key("newNetworks", factory=dict)
    ports: tuple[PortMapping, ...] = key("newPortMappings", ())
    exposed_ports: Mapping[str, Any] = key("exposedPorts", factory=dict)
    use_image_resolv_conf: bool = key("UseImageResolvConf", False)
    use_image_hosts: bool = key("UseImageHosts", False)
    dns_servers: tuple[str, ...] = key("dnsServer", ())
    dns_search: tuple[str, ...] = key("dnsSearch", ())
    dns_options: tuple[str, ...] = key("dnsOption", ())
    extra_hosts: tuple[str, ...] = key("hostsAdd", ())  # NAME:IP

    user_volumes: tuple[str, ...] = key("userVolumes", ())  # destinations the user asked for
    entrypoint: tuple[str, ...] = key("entrypoint", ())
    command: tuple[str, ...] = key("command", ())

    open_stdin: bool = key("stdin", False)
    labels: Mapping[str, str] = key("labels", factory=dict)
    stop_signal: int = key("stopSignal", 15)
    stop_timeout_s: int = key("stopTimeout", 10)
    cgroup_manager: str = key("cgroupManager", "cgroupfs")
    cgroup_parent: str = key("cgroupParent", "")
    no_cgroups: bool = key("noCgroups", False)
    cgroups_mode: str = key("cgroupsMode", "")
    log_driver: str = key("logDriver", "k8s-file")
    log_path: str = key("logPath", "")
    log_size_bytes: int = key("logSize", 0)
    conmon_pid_file: str = key("conmonPidFile", "")
    pid_file: str = key("pid_file", "")
    restart_policy: str = key("restart_policy", "")
    restart_retries: int = key("restart_retries", 0)
    umask: str = key("umask", "")
    timezone: str = key("timezone", "")
    auto_remove: bool = key("pyodcrAutoRemove", False)  # Podman keeps it in an annotation of the spec

    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def tty(self) -> bool:
        return bool(self.spec.get("process", {}).get("terminal", False))

    @property
    def namespace_containers(self) -> Mapping[str, str]:
        """OCI namespace type -> the container whose namespace is joined."""
        pairs = {
            "ipc": self.ipc_container,
            "network": self.net_container,
            "pid": self.pid_container,
            "uts": self.uts_container,
            "user": self.user_container,
            "cgroup": self.cgroup_container,
        }
        return {kind: other for kind, other in pairs.items() if other}

    @property
    def dependencies(self) -> frozenset[str]:
        return frozenset(self.requires) | frozenset(self.namespace_containers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What happened to a container. Recorded, so never believed against the kernel (:mod:`.refresh`)."""

    status: Status = key("state", Status.CONFIGURED, keep=True)
    pid: int = key("pid", 0)
    pid_started: int = key("pidStarted", 0)  # clock ticks since boot; with pid names one process
    conmon_pid: int = key("conmonPid", 0)
    conmon_started: int = key("conmonStarted", 0)
    mountpoint: str = key("mountPoint", "")
    mount_count: int = key("mountCount", 0)  # holders by `pyodcr mount`
    started_at: datetime | None = key("startedTime", None)
    finished_at: datetime | None = key("finishedTime", None)
    exit_code: int = key("exitCode", 0)
    exited: bool = key("exited", False)
    oom_killed: bool = key("oomKilled", False)
    error: str = key("error", "")
    netns: str = key("netns", "")
    network_status: Mapping[str, Any] | None = key("networkStatus", None)  # network -> netavark's status block
    stopped_by_user: bool = key("stoppedByUser", False)
    stopper_pid: int = key("stopperPid", 0)  # the process that stops it, and does what comes after
    stopper_started: int = key("stopperStarted", 0)
    restart_count: int = key("restartCount", 0)

    checkpointed: bool = key("checkpointed", False)
    checkpointed_at: datetime | None = key("checkpointedTime", None)
    restored: bool = key("restored", False)
    restored_at: datetime | None = key("restoredTime", None)
    checkpoint_path: str = key("checkpointPath", "")
    checkpoint_archive: str = key("checkpointArchive", "")  # URL of the archive that holds its only copy

    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """A snapshot of one container."""

    config: ContainerConfig
    state: ContainerState

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def status(self) -> Status:
        return self.state.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named directory that outlives containers (``podman volume inspect`` keys)."""

    name: str = key("Name", keep=True)
    driver: str = key("Driver", "local", keep=True)
    mountpoint: Path = key("Mountpoint", keep=True)
    created_at: datetime | None = key("CreatedAt", None, keep=True)
    labels: Mapping[str, str] = key("Labels", factory=dict, keep=True)
    options: Mapping[str, str] = key("Options", factory=dict, keep=True)
    anonymous: bool = key("Anonymous", False)
    needs_copy_up: bool = key("NeedsCopyUp", False)
    copying_up: bool = key("CopyingUp", False)  # begun and not finished: what it holds is not whole
    needs_chown: bool = key("NeedsChown", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSession:
    """A command run inside a running container."""

    id: str
    container: str
    command: tuple[str, ...]
    owner_pid: int = 0  # the pyodcr that runs it
    owner_started: int = 0
    pid: int = 0
    pid_started: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as `events` shows it."""

    time: datetime = key("time")
    type: str = key("type")  # container, image, volume, network, system
    status: str = key("status")
    id: str = key("id", "", keep=True)
    name: str = key("name", "", keep=True)
    image: str = key("image", "")
    exit_code: int | None = key("exitCode", None)
    attributes: Mapping[str, str] = key("attributes", factory=dict)
