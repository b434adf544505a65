"""What :func:`.build.build` is told of the world: the image, the kernel, and the engine it builds for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.paths import Paths
from pyodcr.linux.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDefaults:
    """The part of an image's configuration that a container takes over (OCI image-spec, config.md)."""

    id: str
    name: str
    raw_name: str = ""  # as the user typed it
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()  # PORT[-PORT][/PROTOCOL]
    stop_signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What this kernel, and our place in it, have to give (:func:`.observe.kernel` looks)."""

    machine: str  # as uname(2) says: x86_64, aarch64
    release: Release
    hostname: str
    capabilities: tuple[str, ...]  # our bounding set, CAP_NAME: nothing beyond it can be given
    cgroup_version: int  # 1 (hybrid too) or 2
    swap_limit: bool = True  # the memory controller counts swap
    mqueue: bool = True
    apparmor: bool = False
    selinux: bool = False
    rlimit_ceilings: Mapping[str, int] = field(default_factory=dict)  # RLIMIT_NAME -> hard limit we cannot exceed


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The engine a container is made for, and three questions only it can answer.

    ``resolve`` finds the container a user names (``container:X``, ``--volumes-from``) or raises
    :class:`~pyodcr.errors.NotFound`; ``free_port(protocol, count)`` gives the first of so many free ports in
    a row; ``new_volume_name`` names an anonymous volume.
    """

    container_id: str
    generated_name: str
    now: datetime
    paths: Paths
    kernel: Kernel
    runtime: str
    cgroup_parent: str
    default_network: str
    resolve: Callable[[str], ContainerConfig]
    free_port: Callable[[str, int], int]
    new_volume_name: Callable[[], str]
    cgroup_manager: str = "cgroupfs"
