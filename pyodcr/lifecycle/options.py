"""What a user may ask of `create` and `run`, parsed into values, unresolved against any image or host.

The command line fills it in; :mod:`pyodcr.lifecycle.spec` turns it, with the image's configuration,
into a :class:`~pyodcr.lifecycle.models.ContainerConfig`. Strings of Podman's little languages
(``-v``, ``-p``, ``--mount``, ``--ulimit``...) are kept as typed and parsed there, so that one parser and
one set of error texts serves the shell and the Python API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """One field per flag of `podman create`, by its name; empty means not given."""

    image: str = ""  # image name, or the directory with --rootfs
    rootfs: bool = False
    command: tuple[str, ...] = ()
    name: str = ""
    entrypoint: tuple[str, ...] | None = None  # () resets the image's
    env: tuple[str, ...] = ()  # NAME=VALUE, or NAME to take ours
    unset_env: tuple[str, ...] = ()
    env_host: bool = False
    workdir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    tty: bool = False
    interactive: bool = False
    rm: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    read_only: bool = False
    read_only_tmpfs: bool = True
    tmpfs: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    image_volume: str = "anonymous"
    shm_size: str = ""
    ulimits: tuple[str, ...] = ()
    sysctls: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memory: str = ""
    memory_swap: str = ""
    memory_reservation: str = ""
    cpus: str = ""
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    blkio_weight: int = 0
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    cgroup_parent: str = ""
    cgroups: str = "enabled"
    networks: tuple[str, ...] = ()
    network_aliases: tuple[str, ...] = ()
    ip: str = ""
    mac_address: str = ""
    publish: tuple[str, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    add_host: tuple[str, ...] = ()
    no_hosts: bool = False
    ipc: str = ""
    pid: str = ""
    uts: str = ""
    cgroupns: str = ""
    userns: str = ""
    stop_signal: str = ""
    stop_timeout_s: int | None = None
    restart: str = ""
    log_driver: str = ""
    log_opts: tuple[str, ...] = ()
    umask: str = ""
    timezone: str = ""
    runtime: str = ""
    pull: str = "missing"
    pid_file: str = ""
    conmon_pid_file: str = ""
    create_command: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)  # ours, for --env NAME and --env-host
