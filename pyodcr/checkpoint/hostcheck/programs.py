"""The programs beside us: CRIU, runtimes, conmon, network, image transport."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pyodcr import process
from pyodcr.checkpoint import compatibility, criu
from pyodcr.checkpoint.criu import NetworkLock
from pyodcr.checkpoint.hostcheck.result import Finding, failed, missing, ok, warning
from pyodcr.checkpoint.observe import LOCK_TOOLS
from pyodcr.config import Config
from pyodcr.errors import ToolNotFound
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.network.netavark import find_helper
from pyodcr.linux import release
from pyodcr.linux.release import Release

CONMON_WANTED = Release(2, 1)
PROGRAM_TIMEOUT_S = 20.0


def criu_version(config: Config) -> Finding:
    del config
    return judge_criu(release.kernel(), criu.version())


def judge_criu(kernel: Release, version: Release) -> Finding:
    """Whether that CRIU suits that kernel."""
    needs = compatibility.unmet(kernel, version)
    if not needs:
        return ok(str(version), f"suits kernel {kernel}")
    detail = "; ".join(f"{need.affects}, because {need.why}" for need in needs)
    wanted = max(need.criu for need in needs)
    return failed(
        str(version),
        f"too old for kernel {kernel}: {detail}",
        f"install criu {wanted} or later (Debian: from testing or backports; Fedora: dnf upgrade criu)",
    )


def pycriu(config: Config) -> Finding:
    del config
    try:
        return ok(criu.pycriu_version(), "asks CRIU what it can do on this kernel")
    except ToolNotFound as error:
        return missing(f"CRIU's features cannot be asked for: {error.message}", error.hint or "")


def crun(config: Config) -> Finding:
    return _runtime(
        config, "crun", "install crun 1.26 or later and CRIU's library (Debian: libcriu2, Fedora: criu-libs)"
    )


def runc(config: Config) -> Finding:
    return _runtime(config, "runc", "install runc 1.0 or later")


def _runtime(config: Config, name: str, hint: str) -> Finding:
    try:
        info = probe.runtime(config, name)
    except ToolNotFound:
        return missing("not installed; one runtime that can checkpoint is enough", hint)
    if info.can_checkpoint:
        return ok(info.version, "runs containers, and checkpoints them through our commit hook")
    return warning(info.version, info.why_not, hint)


def default_runtime(config: Config) -> Finding:
    info = probe.default_runtime(config)
    if info.can_checkpoint:
        return ok(info.name, str(info.path))
    return failed(
        info.name,
        f"its containers cannot be checkpointed: {info.why_not}",
        "install or choose (--runtime) one that can: crun 1.26 with libcriu 4.2, or runc 1.0",
    )


def conmon(config: Config) -> Finding:
    del config
    path = process.which("conmon")
    if path is None:
        return failed("", "not installed: no container can be started", "install conmon 2.1 or later")
    version = version_of(path)
    found = release.parse(version)
    if found is None or found < CONMON_WANTED:
        return warning(version, "older than 2.1: exit files and logs may be wrong", "install conmon 2.1 or later")
    return ok(version)


def netavark(config: Config) -> Finding:
    del config
    return _helper("netavark", "containers can only use --network none, host or container:ID", "install netavark")


def aardvark_dns(config: Config) -> Finding:
    del config
    return _helper(
        "aardvark-dns", "containers of one network cannot look each other up by name", "install aardvark-dns"
    )


def _helper(name: str, without: str, hint: str) -> Finding:
    path = find_helper(name)
    return missing(without, hint) if path is None else ok(version_of(path), str(path))


def skopeo(config: Config) -> Finding:
    del config
    path = process.which("skopeo")
    if path is None:
        return missing("images can be imported from files, but not pulled", "install skopeo")
    return ok(version_of(path))


def network_lock(config: Config) -> Finding:
    del config
    tools = [tool for lock in LOCK_TOOLS.values() for tool in lock]
    return judge_lock_tools([tool for tool in tools if process.which(tool) is not None])


def judge_lock_tools(installed: Collection[str]) -> Finding:
    """Which way of locking a container's network those tools allow."""
    complete = [lock for lock, tools in LOCK_TOOLS.items() if tools and set(tools) <= set(installed)]
    if not complete:
        return failed(
            "",
            "CRIU cannot lock the network of a container while it dumps it",
            "install iptables (with ip6tables), or nftables",
        )
    if NetworkLock.IPTABLES not in complete:
        return warning(
            ", ".join(complete),
            "only with nftables, for which CRIU must have been built",
            "install iptables",
        )
    return ok(", ".join(complete), f"CRIU is told to use {complete[0]}")


def version_of(path: Path) -> str:
    """What the program says its version is, without its name and the word."""
    said = process.run([path, "--version"], timeout_s=PROGRAM_TIMEOUT_S).stdout
    line = next(iter(said.splitlines()), "").strip()
    return line.removeprefix(path.name).removeprefix(" version").strip()
