"""What the kernel offers, and what it lets us do."""

from __future__ import annotations

import os
from pathlib import Path

from pyodcr.checkpoint import criu, observe
from pyodcr.checkpoint.hostcheck.result import Finding, failed, missing, ok, warning
from pyodcr.checkpoint.preflight import NEEDED_CAPABILITIES, NETWORK_CAPABILITIES
from pyodcr.config import Config
from pyodcr.errors import ToolNotFound
from pyodcr.lifecycle import probe
from pyodcr.linux import cgroups, files
from pyodcr.linux.cgroups import Layout

CAP_SYS_RESOURCE = 24
ONLY_ROOT = warning("", "only root can try it", "use sudo")
LAZY_PIPE_BYTES = 4 << 20  # CRIU's lazy-pages daemon enlarges its pipes to this (tried without CAP_SYS_RESOURCE)


def privileges(config: Config) -> Finding:
    del config
    return judge_privileges(os.geteuid(), observe.effective_capabilities())


def judge_privileges(effective_user: int, capabilities: int) -> Finding:
    """Whether a process of that user, with that mask of effective capabilities, can checkpoint."""
    if effective_user != 0:
        return failed(f"user {effective_user}", "containers and checkpoints need root", "use sudo")
    needed = NEEDED_CAPABILITIES | NETWORK_CAPABILITIES
    lacking = [name for name, bit in needed.items() if not capabilities >> bit & 1]
    if lacking:
        return failed(
            "root",
            f"without {', '.join(lacking)}",
            "run it outside of the container or unit that took them",
        )
    if not capabilities >> CAP_SYS_RESOURCE & 1:
        return warning(
            "root without CAP_SYS_RESOURCE",
            "CRIU cannot dump processes that run as another user, nor raise its limit of open files, which very large "
            "containers may need (its log then begins with a harmless error about RLIMIT_NOFILE)",
            "give pyodcr CAP_SYS_RESOURCE",
        )
    return ok("root")


def criu_check(config: Config) -> Finding:
    del config
    if os.geteuid() != 0:
        return ONLY_ROOT
    try:
        problem = criu.check()
    except ToolNotFound as error:
        return missing(error.message, error.hint or "")
    if problem:
        return failed(
            "",
            problem,
            "use a kernel with CONFIG_CHECKPOINT_RESTORE and a criu that suits it; `criu check` tells more",
        )
    return ok("passed", "the kernel has all that CRIU cannot do without")


def memory_tracking(config: Config) -> Finding:
    del config
    if os.geteuid() != 0:
        return ONLY_ROOT
    try:
        tracked = criu.feature_check().mem_track
    except ToolNotFound as error:
        return missing(error.message, error.hint or "")
    if tracked:
        return ok("yes", "pre-checkpoints work")
    return warning(
        "no",
        "no pre-checkpoints: each checkpoint writes all memory",
        "use a kernel with CONFIG_MEM_SOFT_DIRTY (Debian's and Fedora's for x86-64 have it)",
    )


def lazy_pages(config: Config) -> Finding:
    del config
    if os.geteuid() != 0:
        return ONLY_ROOT
    try:
        supported = criu.feature_check().lazy_pages
    except ToolNotFound as error:
        return missing(error.message, error.hint or "")
    pipe_bytes = int((files.read(Path("/proc/sys/fs/pipe-max-size")) or "0").strip())
    return judge_lazy_pages(
        supported=supported,
        pipe_bytes=pipe_bytes,
        unlimited=bool(observe.effective_capabilities() >> CAP_SYS_RESOURCE & 1),
    )


def judge_lazy_pages(*, supported: bool, pipe_bytes: int, unlimited: bool) -> Finding:
    """Whether memory may follow after a restore; ``unlimited`` is CAP_SYS_RESOURCE."""
    if not supported:
        return warning(
            "no",
            "memory cannot follow after a restore",
            "use a kernel with CONFIG_USERFAULTFD",
        )
    if pipe_bytes < LAZY_PIPE_BYTES and not unlimited:
        return warning(
            "yes",
            f"the daemon needs pipes of {LAZY_PIPE_BYTES} bytes, and only {pipe_bytes} are allowed",
            f"sysctl fs.pipe-max-size={LAZY_PIPE_BYTES}",
        )
    return ok("yes", "memory may follow after a restore")


def cgroup_layout(config: Config) -> Finding:
    del config
    if not cgroups.hierarchies():
        return failed("", "no cgroup hierarchy is mounted", "mount cgroup2 on /sys/fs/cgroup")
    return judge_layout(cgroups.layout(), crun_refuses=probe.crun_refuses_cgroups())


def judge_layout(found: Layout, *, crun_refuses: bool) -> Finding:
    if crun_refuses:
        return warning(
            found,
            "crun refuses to run with controllers in the v2 part of a hybrid layout; runc does run",
            "boot with systemd.unified_cgroup_hierarchy=1, or unmount /sys/fs/cgroup/unified",
        )
    return ok(found)


def security_module(config: Config) -> Finding:
    del config
    enforcing = files.read(Path("/sys/fs/selinux/enforce"))
    apparmor = (files.read(Path("/sys/module/apparmor/parameters/enabled")) or "").strip() == "Y"
    return ok(active_module(enforcing, apparmor=apparmor))


def active_module(selinux_enforce: str | None, *, apparmor: bool) -> str:
    """From the contents of /sys/fs/selinux/enforce (None: no such file) and AppArmor's switch."""
    if selinux_enforce is not None:
        return "SELinux, enforcing" if selinux_enforce.strip() == "1" else "SELinux, permissive"
    return "AppArmor" if apparmor else "none"
