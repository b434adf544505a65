"""Look before you freeze: what would make a dump fail, told before the container is touched.

:func:`problems` is a pure function of the facts that :mod:`.observe` gathers. An **error** aborts the checkpoint, so
only what is certain to fail is one; what may pass by the time CRIU gets there, or may matter later only, is a
**warning**. Where CRIU would tell the same in its log, the code is that of :mod:`.criusignatures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from pyodcr.checkpoint import compatibility, criu, staging
from pyodcr.checkpoint.compatibility import Affects
from pyodcr.checkpoint.criu import INSTALL_HINT, NetworkLock
from pyodcr.checkpoint.observe import Facts, Held, TcpSocket, network_lock, observe
from pyodcr.checkpoint.staging import Choice, Medium
from pyodcr.errors import Unsupported
from pyodcr.linux import cgroups
from pyodcr.linux.release import Release

if TYPE_CHECKING:
    from pyodcr.checkpoint.options import DumpOptions
    from pyodcr.lifecycle.context import Context
    from pyodcr.lifecycle.models import Container

MIB = 1 << 20
SKIPS_NETWORK_LOCK = Release(3, 19)
BESIDE_MEMORY_BYTES = 64 * MIB  # images of files, tmpfs mounts and process trees

# capabilities(7), by bit: what a dump cannot do without
NEEDED_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_SYS_PTRACE": 19}
NETWORK_CAPABILITIES = {"CAP_NET_ADMIN": 12}

# CRIU refuses these without --tcp-established (criu/sk-inet.c, can_dump_inet_sk); ESTABLISHED may last for ever, the
# others are on their way out.
CONNECTED = "ESTABLISHED"
PASSING = frozenset({"FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "CLOSING", "SYN_SENT"})


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that will (error) or may (warning) make the dump fail, and how to mend it."""

    code: str
    text: str
    hint: str
    severity: Severity = Severity.ERROR


def require(ctx: Context, container: Container, options: DumpOptions) -> tuple[Choice, tuple[str, ...]]:
    """Look at a running container: where its images will go, and the warnings in words.

    Raises :class:`Unsupported` where a dump must fail.
    """
    from pyodcr.lifecycle import probe

    cgroup = ctx.cgroup(container)
    facts = observe(
        init=container.state.pid,
        pids=cgroups.processes(cgroup) | {container.state.pid},
        runtime=probe.runtime(ctx.config, container.config.runtime),
        staging=ctx.paths.root,
        hook_directory=ctx.place(container).criu,
        tcp_established=options.tcp_established,
        file_locks=options.file_locks,
    )
    kept = not options.export or options.keep
    choice = staging.choose(ctx.config.checkpoint.staging, staging.observe(), facts.memory_bytes, kept=kept)
    if choice.medium is Medium.MEMORY:
        facts = replace(facts, staging_free_bytes=choice.size_bytes)
    return choice, judge(problems(facts), container.name)


def judge(found: Sequence[Problem], container: str) -> tuple[str, ...]:
    """Raise the first error, with all of them in its details; else the texts of the warnings."""
    errors = [problem for problem in found if problem.severity is Severity.ERROR]
    if not errors:
        return tuple(f"{problem.text}: {problem.hint}" for problem in found)
    first, *more = errors
    message = f"cannot checkpoint container {container}: {first.text}"
    if more:
        message += f" (and {len(more)} more: {'; '.join(problem.text for problem in more)})"
    raise Unsupported(
        message,
        code=first.code,
        hint=first.hint,
        problems=[{"code": problem.code, "text": problem.text, "hint": problem.hint} for problem in errors],
    )


def criu_options(*, isolated: bool = False) -> tuple[str, ...]:
    """Lines for criu.conf. The way of locking is written out, for whoever must undo the lock of a CRIU that died.

    A container that is ``isolated`` has nobody to be locked out; iptables would keep it frozen for 50 ms more.
    """
    skip = isolated and criu.version() >= SKIPS_NETWORK_LOCK
    return (f"network-lock {NetworkLock.SKIP if skip else network_lock()}",)


def problems(facts: Facts) -> tuple[Problem, ...]:
    """All that is wrong, the host's part first."""
    checks = (_rights, _criu, _runtime, _network_lock, _sockets, _descriptors, _places)
    return tuple(problem for check in checks for problem in check(facts))


def _rights(facts: Facts) -> Iterator[Problem]:
    if facts.effective_user != 0:
        yield Problem("not-root", "checkpoints need root", "run pyodcr with sudo")
        return
    needed = NEEDED_CAPABILITIES | (NETWORK_CAPABILITIES if facts.own_network else {})
    missing = [name for name, bit in needed.items() if not facts.capabilities >> bit & 1]
    if missing:
        yield Problem(
            "missing-capability",
            f"this process lacks {' and '.join(missing)}",
            "run pyodcr outside of the container or unit that took them away",
        )


def _criu(facts: Facts) -> Iterator[Problem]:
    if facts.criu is None:
        yield Problem("criu-missing", "criu is not installed", INSTALL_HINT)
        return
    for need in compatibility.unmet(facts.kernel, facts.criu):
        fatal = need.affects is Affects.EVERYTHING or (need.affects is Affects.SOCKETS and facts.network_sockets)
        yield Problem(
            "criu-too-old",
            f"criu {facts.criu} is too old for kernel {facts.kernel} ({need.why}): {need.affects}",
            f"install criu {need.criu} or later",
            Severity.ERROR if fatal else Severity.WARNING,
        )


def _runtime(facts: Facts) -> Iterator[Problem]:
    if not facts.runtime.can_checkpoint:
        yield Problem(
            "runtime-cannot-checkpoint",
            facts.runtime.why_not or f"{facts.runtime.name} cannot checkpoint",
            "pyodcr system check tells what each runtime of this host can do",
        )


def _network_lock(facts: Facts) -> Iterator[Problem]:
    if not facts.missing_tools or not (facts.own_network or (facts.tcp_established and _connected(facts.tcp))):
        return
    tools = " and ".join(facts.missing_tools)
    if facts.network_lock is NetworkLock.IPTABLES:
        yield Problem(
            "criu-no-iptables",
            f"{tools}: not installed, and CRIU locks the network with it",
            "install iptables, or nftables and a CRIU built with it",
        )
    else:
        yield Problem(
            "no-nft",
            f"{tools} is not installed: should CRIU be killed, its network lock could not be removed",
            "install nftables",
            Severity.WARNING,
        )


def _sockets(facts: Facts) -> Iterator[Problem]:
    if facts.mptcp:
        yield Problem(
            "criu-mptcp",
            f"{_who(facts.mptcp)} has a multipath TCP socket",
            "start the program without it: GODEBUG=multipathtcp=0 for programs built with Go 1.24 or later",
        )
    waiting = [found for found in facts.tcp if found.waiting]
    if waiting:
        first = waiting[0]
        yield Problem(
            "criu-tcp-in-flight",
            f"{_name(first.pid, first.command)} has not accepted {first.waiting} connection(s) to {first.local} yet",
            "CRIU refuses if they still wait when it gets there; then try again",
            Severity.WARNING,
        )
    if facts.tcp_established:
        return
    open_ = _connected(facts.tcp)
    passing = [found for found in facts.tcp if found.state in PASSING]
    hint = "use --tcp-established to keep connections, or close them first"
    if open_:
        yield Problem("criu-tcp-established", f"{_connections(open_)} open", hint)
    elif passing:
        yield Problem("criu-tcp-established", f"{_connections(passing)} not quite closed", hint, Severity.WARNING)


def _descriptors(facts: Facts) -> Iterator[Problem]:
    if facts.io_uring:
        yield Problem(
            "criu-io-uring",
            f"{_who(facts.io_uring)} uses io_uring, which CRIU cannot carry",
            "start the program without io_uring (many have a switch for it)",
        )
    if facts.locks and not facts.file_locks:
        yield Problem(
            "criu-file-locks", f"{_who(facts.locks)} holds a lock on {facts.locks[0].what}", "use --file-locks"
        )


def _places(facts: Facts) -> Iterator[Problem]:
    if facts.hook_noexec:
        yield Problem(
            "noexec",
            f"{facts.hook_directory} is on a filesystem mounted noexec: CRIU could not run the commit hook",
            "choose a --root on a filesystem that allows executing",
        )
    if facts.staging_free_bytes < facts.memory_bytes + BESIDE_MEMORY_BYTES:
        certain = facts.staging_free_bytes < facts.memory_bytes
        yield Problem(
            "no-space",
            f"{facts.staging} has {_mib(facts.staging_free_bytes)} free, and the container's memory is "
            f"{_mib(facts.memory_bytes)}",
            "free some space there, or choose another --root",
            Severity.ERROR if certain else Severity.WARNING,
        )


def _connected(sockets: Iterable[TcpSocket]) -> list[TcpSocket]:
    return [found for found in sockets if found.state == CONNECTED]


def _connections(sockets: Sequence[TcpSocket]) -> str:
    first, more = sockets[0], len(sockets) - 1
    text = f"{_name(first.pid, first.command)} has the TCP connection {first.local} to {first.remote}"
    return f"{text} and {more} more" if more else text


def _who(held: Sequence[Held]) -> str:
    return _name(held[0].pid, held[0].command)


def _name(pid: int, command: str) -> str:
    return f"{command} (process {pid})"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f} MiB"
