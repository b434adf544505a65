"""``pyodcr system check``: what this host has, what it lacks, what will not work, and how to mend it.

Each check is a function of the configuration that returns one finding; where it decides something, the decision is
a pure function beside it. Nothing on the host is changed (one trial mount is made and taken away again).
"""

from __future__ import annotations

from collections.abc import Callable

from pyodcr.checkpoint.hostcheck import kernel, places, programs
from pyodcr.checkpoint.hostcheck.result import CheckResult, Finding, Status, failed
from pyodcr.config import Config
from pyodcr.errors import PyodcrError

__all__ = ["CheckResult", "Status", "check", "works"]

CHECKS: tuple[tuple[str, Callable[[Config], Finding]], ...] = (
    ("privileges", kernel.privileges),
    ("criu", programs.criu_version),
    ("criu-check", kernel.criu_check),
    ("memory-tracking", kernel.memory_tracking),
    ("lazy-pages", kernel.lazy_pages),
    ("pycriu", programs.pycriu),
    ("crun", programs.crun),
    ("runc", programs.runc),
    ("default-runtime", programs.default_runtime),
    ("conmon", programs.conmon),
    ("network-lock", programs.network_lock),
    ("netavark", programs.netavark),
    ("aardvark-dns", programs.aardvark_dns),
    ("skopeo", programs.skopeo),
    ("cgroups", kernel.cgroup_layout),
    ("security-module", kernel.security_module),
    ("overlay", places.overlay),
    ("root", places.root),
    ("runroot", places.runroot),
)


def check(config: Config) -> tuple[CheckResult, ...]:
    """Make every check."""
    return tuple(_result(name, function, config) for name, function in CHECKS)


def _result(name: str, function: Callable[[Config], Finding], config: Config) -> CheckResult:
    try:
        finding = function(config)
    except PyodcrError as error:  # what keeps us from checking is worth knowing too
        finding = failed("", error.message, error.hint or "")
    return CheckResult(name, finding.status, finding.found, finding.detail, finding.hint)


def works(results: tuple[CheckResult, ...]) -> bool:
    """Whether containers can run, be checkpointed and be restored here."""
    return all(result.status is not Status.FAILED for result in results)
