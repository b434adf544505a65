"""What an archive says of the host it was made on: for a human at 3 a.m., and for checks on another host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyodcr import __version__
from pyodcr.checkpoint import criu
from pyodcr.errors import PyodcrError
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.models import Container
from pyodcr.linux import cgroups

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


def of_source(ctx: Context, container: Container) -> Mapping[str, object]:
    """Versions, kernel, processor, cgroup layout and labels."""
    machine = os.uname()
    return {
        "pyodcr": __version__,
        "host": machine.nodename,
        "kernel": machine.release,
        "architecture": machine.machine,
        "cpu": _cpu(),
        "criu": _criu_version(),
        "runtime": container.config.runtime,
        "runtime_version": probe.runtime(ctx.config, container.config.runtime).version,
        "cgroups": str(cgroups.layout()),
        "process_label": container.config.process_label,
        "mount_label": container.config.mount_label,
    }


def _criu_version() -> str:
    try:
        return str(criu.version())
    except PyodcrError:
        return ""


def _cpu() -> Mapping[str, str]:
    """Model and feature flags of the first processor: a restore needs at least these flags."""
    found: dict[str, str] = {}
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "flags", "Features"):
                found[name.strip()] = value.strip()
            elif not line.strip():
                break
    return found
