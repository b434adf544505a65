"""The OCI runtime spec of a container as asked for (opencontainers/runtime-spec, config.md and config-linux.md)."""

from __future__ import annotations

import posixpath

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.spec import (
    VERSION,
    annotation,
    capabilities,
    devices,
    environment,
    namespaces,
    resources,
    rlimits,
    seccomp,
    sysctls,
)
from pyodcr.lifecycle.spec.namespaces import Mode
from pyodcr.lifecycle.spec.parts import Parts

_ROOT_NAMES = ("", "root", "0")


def build(parts: Parts) -> JsonObject:
    """``root.path``, paths of namespaces made at start, and ``process.user`` in numbers are still missing."""
    process = _process(parts)
    spec: JsonObject = {
        "ociVersion": VERSION,
        "process": process,
        "root": {"path": "", "readonly": parts.options.read_only},
        "mounts": [*parts.mounts.mounts],
        "annotations": annotation.build(parts.options, parts.security, parts.stop_signal),
        "linux": _linux(parts, process["capabilities"]["bounding"]),
    }
    if parts.own_hostname:
        spec["hostname"] = parts.hostname
    return spec


def _process(parts: Parts) -> JsonObject:
    options, kernel = parts.options, parts.host.kernel
    args = [*parts.entrypoint, *parts.command]
    if not args:
        raise UsageError(
            "no command or entrypoint provided, and no CMD or ENTRYPOINT from image", hint="give a command to run"
        )
    process: JsonObject = {
        "terminal": options.tty,
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": environment.build(options, parts.image, parts.hostname),
        "cwd": _workdir(parts),
        "capabilities": capabilities.of_process(
            options.cap_add,
            options.cap_drop,
            kernel.capabilities,
            is_root=parts.user.partition(":")[0] in _ROOT_NAMES,
            privileged=options.privileged,
        ),
        "rlimits": rlimits.parse(options.ulimits, kernel.rlimit_ceilings),
    }
    if parts.security.no_new_privileges is not None:
        process["noNewPrivileges"] = parts.security.no_new_privileges
    if parts.security.apparmor:
        process["apparmorProfile"] = parts.security.apparmor
    score = resources.oom_score_adj(options)
    if score is not None:
        process["oomScoreAdj"] = score
    return process


def _workdir(parts: Parts) -> str:
    if parts.options.workdir:
        if not parts.options.workdir.startswith("/"):
            raise UsageError(f'the working directory "{parts.options.workdir}" must be an absolute path')
        return parts.options.workdir
    return posixpath.join("/", parts.image.workdir if parts.image else "")


def _linux(parts: Parts, bounding: list[str]) -> JsonObject:
    options, kinds, network = parts.options, parts.namespaces, parts.connection.namespace
    given = [devices.parse(text) for text in options.devices]
    linux: JsonObject = {
        "namespaces": namespaces.entries(
            {"pid": kinds.pid, "network": network, "ipc": kinds.ipc, "uts": kinds.uts, "cgroup": kinds.cgroup}
        ),
        "resources": {
            "devices": [devices.ALLOW_ALL if options.privileged else devices.DENY_ALL, *(each.rule for each in given)],
            **resources.build(options, parts.host.kernel),
        },
        "devices": [each.node for each in given],
        "maskedPaths": parts.security.masked_paths,
        "readonlyPaths": parts.security.readonly_paths,
        "sysctl": sysctls.parse(
            options.sysctls,
            host_ipc=kinds.ipc.mode is Mode.HOST,
            host_network=network.mode is Mode.HOST,
        ),
    }
    secured = seccomp.build(parts.security.seccomp, parts.host.kernel, bounding, privileged=options.privileged)
    if secured is not None:
        linux["seccomp"] = secured
    return {name: value for name, value in linux.items() if value}
