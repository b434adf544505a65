"""What the container may use: OCI ``linux.resources``, devices aside. Checks and words are Podman's and Docker's."""

from __future__ import annotations

import logging
import re

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import sizes
from pyodcr.lifecycle.spec.facts import Kernel

log = logging.getLogger(__name__)

PIDS_LIMIT = 2048
CPU_PERIOD_US = 100_000
_CPUSET = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*\Z")


def build(options: CreateOptions, kernel: Kernel) -> JsonObject:
    parts: JsonObject = {"memory": _memory(options, kernel), "cpu": _cpu(options), "blockIO": _block_io(options)}
    resources = {name: part for name, part in parts.items() if part}
    limit = PIDS_LIMIT if options.pids_limit is None else options.pids_limit
    if limit < -1:
        raise UsageError(f"the pids limit must be -1 (unlimited) or more, not {limit}")
    resources["pids"] = {"limit": limit or -1}  # the runtimes disagree on what 0 is; -1 is unlimited to both
    return resources


def oom_score_adj(options: CreateOptions) -> int | None:
    score = options.oom_score_adj
    if score is not None and not -1000 <= score <= 1000:
        raise UsageError(f"invalid value {score} for --oom-score-adj: it must be between -1000 and 1000")
    return score


def _memory(options: CreateOptions, kernel: Kernel) -> JsonObject:
    memory: JsonObject = {}
    limit = sizes.binary(options.memory, "memory") if options.memory else 0
    if limit:
        memory["limit"] = limit
    if options.memory_reservation:
        memory["reservation"] = sizes.binary(options.memory_reservation, "memory")
        if limit and memory["reservation"] > limit:
            raise UsageError("minimum memory limit cannot be less than memory reservation limit, see usage")
    swap = _swap(options.memory_swap, limit)
    if swap and kernel.swap_limit:
        memory["swap"] = swap
    elif swap:
        log.warning(
            "this kernel does not support swap limit capabilities or the cgroup is not mounted: "
            "memory limited without swap"
        )
    if options.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _swap(text: str, limit: int) -> int:
    """Memory and swap together, in bytes: twice the memory unless given; 0 is no limit."""
    if text == "-1":
        return 0
    if not text:
        return 2 * limit
    swap = sizes.binary(text, "memory-swap")
    if swap and not limit:
        raise UsageError("you should always set the memory limit when using memoryswap limit, see usage")
    if swap and swap < limit:
        raise UsageError("minimum memoryswap limit should be larger than memory limit, see usage")
    return swap


def _cpu(options: CreateOptions) -> JsonObject:
    cpu: JsonObject = {}
    if options.cpu_shares:
        cpu["shares"] = options.cpu_shares
    if options.cpu_period:
        cpu["period"] = options.cpu_period
    if options.cpu_quota:
        cpu["quota"] = options.cpu_quota
    if options.cpus:
        if options.cpu_period:
            raise UsageError("--cpu-period and --cpus cannot be set together")
        if options.cpu_quota:
            raise UsageError("--cpu-quota and --cpus cannot be set together")
        cpu |= {"period": CPU_PERIOD_US, "quota": int(_cores(options.cpus) * CPU_PERIOD_US)}
    for name, flag, value in (("cpus", "cpus", options.cpuset_cpus), ("mems", "mems", options.cpuset_mems)):
        if value:
            if not _CPUSET.match(value):
                raise UsageError(f'invalid value "{value}" for --cpuset-{flag}', hint="numbers and ranges: 0-3,7")
            cpu[name] = value
    return cpu


def _cores(text: str) -> float:
    try:
        cores = float(text)
    except ValueError:
        cores = 0.0
    if not 0.01 <= cores < float("inf"):  # 1 ms of 100 ms is the least the kernel's scheduler takes
        raise UsageError(f'invalid value "{text}" for --cpus', hint="a number of CPUs, 0.01 or more: 1.5")
    return cores


def _block_io(options: CreateOptions) -> JsonObject:
    weight = options.blkio_weight
    if weight and not 10 <= weight <= 1000:
        raise UsageError(f"range of blkio weight is from 10 to 1000, not {weight}")
    return {"weight": weight} if weight else {}
