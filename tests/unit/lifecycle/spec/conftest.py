"""One host and one image, made of nothing but values, and short ways to build a container for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import NotFound
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.paths import Paths
from pyodcr.lifecycle.spec import capabilities, seccomp
from pyodcr.lifecycle.spec.build import build
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults, Kernel
from pyodcr.lifecycle.spec.finalize import Place
from pyodcr.lifecycle.spec.users import UserInfo
from pyodcr.linux.release import Release

Make = Callable[..., ContainerConfig]

ID = "0123456789ab" + "c" * 52

KERNEL = Kernel(
    machine="x86_64",
    release=Release(6, 12),
    hostname="hosta",
    capabilities=tuple(sorted(capabilities.ALL)),
    cgroup_version=2,
)


@pytest.fixture(autouse=True)
def _our_seccomp_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine the tests run on may have a profile of its distribution."""
    monkeypatch.setattr(seccomp, "DEFAULTS", (seccomp.OURS,))


@pytest.fixture
def image() -> ImageDefaults:
    return ImageDefaults(
        id="d" * 64,
        name="localhost/redis:latest",
        raw_name="redis",
        env=("REDIS_VERSION=7", "PATH=/opt/redis/bin:/bin"),
        cmd=("redis-server",),
        entrypoint=("docker-entrypoint.sh",),
        user="redis",
        workdir="/data",
        labels={"maintainer": "nobody"},
        volumes=("/data",),
        exposed_ports=("6379/tcp",),
    )


@pytest.fixture
def others() -> dict[str, ContainerConfig]:
    """Containers that ``container:NAME`` finds; tests put theirs in."""
    return {}


@pytest.fixture
def host(others: dict[str, ContainerConfig]) -> Host:
    def resolve(name: str) -> ContainerConfig:
        if name not in others:
            raise NotFound(f'no container with name or ID "{name}" found: no such container')
        return others[name]

    free, volumes = count(40000), count()
    return Host(
        container_id=ID,
        generated_name="keen_nansen",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        paths=Paths(Path("/var/lib/pyodcr"), Path("/run/pyodcr")),
        kernel=KERNEL,
        runtime="crun",
        cgroup_parent="/pyodcr",
        default_network="pyodcr",
        resolve=resolve,
        free_port=lambda protocol, number: next(free),
        new_volume_name=lambda: f"{next(volumes):064x}",
    )


@pytest.fixture
def make(host: Host) -> Make:
    """Build a container with ``--rootfs``, running ``sh`` unless told otherwise; ``kernel_*`` change the kernel."""

    def run(**options: Any) -> ContainerConfig:
        changes = {name.removeprefix("kernel_"): options.pop(name) for name in list(options) if name[:7] == "kernel_"}
        asked: dict[str, Any] = {"image": "/rootfs", "rootfs": True, "command": ("sh",), **options}
        return build(CreateOptions(**asked), None, replace(host, kernel=replace(host.kernel, **changes)))

    return run


@pytest.fixture
def place() -> Place:
    return Place(
        rootfs=Path("/merged"),
        cgroups_path=f"/pyodcr/{ID}",
        criu_config=Path("/var/lib/pyodcr/criu.conf"),
        user=UserInfo(0, 0, (), "/root", "root"),
        netns=Path("/run/pyodcr/netns/x"),
    )
