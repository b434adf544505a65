from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.checkpoint import preflight
from pyodcr.checkpoint.criu import NetworkLock
from pyodcr.checkpoint.observe import Facts, Held, TcpSocket
from pyodcr.checkpoint.preflight import MIB, Severity, judge, problems
from pyodcr.errors import Unsupported
from pyodcr.lifecycle.probe import RuntimeInfo
from pyodcr.linux.release import Release

ERROR, WARNING = Severity.ERROR, Severity.WARNING
ALL_CAPABILITIES = (1 << 41) - 1
RUNTIME = RuntimeInfo("crun", Path("/usr/bin/crun"), "1.28", can_run=True, can_checkpoint=True)
BROKEN = replace(RUNTIME, can_checkpoint=False, why_not="crun needs the library libcriu.so.2")
HELD = (Held(7, "nginx", "/run/nginx.lock"),)

GOOD = Facts(
    kernel=Release(6, 12, 41),
    criu=Release(4, 2, 1),
    effective_user=0,
    capabilities=ALL_CAPABILITIES,
    runtime=RUNTIME,
    own_network=True,
    network_lock=NetworkLock.IPTABLES,
    missing_tools=(),
    memory_bytes=100 * MIB,
    staging=Path("/var/lib/pyodcr"),
    staging_free_bytes=1000 * MIB,
    hook_directory=Path("/var/lib/pyodcr/containers/ID/criu"),
)


def tcp(state: str, *, waiting: int = 0) -> TcpSocket:
    return TcpSocket(9, "redis-server", state, "10.89.0.2:6379", "10.89.0.3:41234", waiting)


def without(*bits: int) -> int:
    mask = ALL_CAPABILITIES
    for bit in bits:
        mask &= ~(1 << bit)
    return mask


NO_IPTABLES = ("iptables-restore", "ip6tables-restore")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        # rights
        ({"effective_user": 1000, "capabilities": 0}, [("not-root", ERROR)]),
        ({"capabilities": without(21)}, [("missing-capability", ERROR)]),
        ({"capabilities": without(12)}, [("missing-capability", ERROR)]),
        ({"capabilities": without(12), "own_network": False}, []),
        ({"capabilities": without(24)}, []),
        # CRIU and the kernel
        ({"criu": None}, [("criu-missing", ERROR)]),
        ({"kernel": Release(6, 13), "criu": Release(4, 0)}, [("criu-too-old", ERROR)]),
        ({"kernel": Release(6, 12, 41), "criu": Release(4, 1)}, [("criu-too-old", WARNING)]),
        ({"kernel": Release(6, 16), "criu": Release(4, 1, 1)}, [("criu-too-old", WARNING)]),
        (
            {"kernel": Release(6, 16), "criu": Release(4, 1, 1), "network_sockets": True},
            [("criu-too-old", ERROR)],
        ),
        # runtime
        ({"runtime": BROKEN}, [("runtime-cannot-checkpoint", ERROR)]),
        # the network lock
        ({"missing_tools": NO_IPTABLES}, [("criu-no-iptables", ERROR)]),
        ({"missing_tools": NO_IPTABLES, "own_network": False}, []),
        (
            {"missing_tools": NO_IPTABLES, "own_network": False, "tcp": (tcp("ESTABLISHED"),), "tcp_established": True},
            [("criu-no-iptables", ERROR)],
        ),
        ({"missing_tools": ("nft",), "network_lock": NetworkLock.NFTABLES}, [("no-nft", WARNING)]),
        # sockets
        ({"tcp": (tcp("LISTEN"), tcp("CLOSE"))}, []),
        ({"tcp": (tcp("ESTABLISHED"),)}, [("criu-tcp-established", ERROR)]),
        ({"tcp": (tcp("ESTABLISHED"),), "tcp_established": True}, []),
        ({"tcp": (tcp("CLOSE_WAIT"),)}, [("criu-tcp-established", WARNING)]),
        ({"tcp": (tcp("FIN_WAIT2"), tcp("ESTABLISHED"))}, [("criu-tcp-established", ERROR)]),
        ({"tcp": (tcp("LISTEN", waiting=3),)}, [("criu-tcp-in-flight", WARNING)]),
        ({"tcp": (tcp("LISTEN", waiting=3),), "tcp_established": True}, [("criu-tcp-in-flight", WARNING)]),
        ({"mptcp": HELD}, [("criu-mptcp", ERROR)]),
        # descriptors
        ({"io_uring": HELD}, [("criu-io-uring", ERROR)]),
        ({"locks": HELD}, [("criu-file-locks", ERROR)]),
        ({"locks": HELD, "file_locks": True}, []),
        # places
        ({"hook_noexec": True}, [("noexec", ERROR)]),
        ({"staging_free_bytes": 99 * MIB}, [("no-space", ERROR)]),
        ({"staging_free_bytes": 120 * MIB}, [("no-space", WARNING)]),
        ({"staging_free_bytes": 164 * MIB}, []),
        # several at once, the host's first
        (
            {"criu": None, "locks": HELD, "tcp": (tcp("ESTABLISHED"),)},
            [("criu-missing", ERROR), ("criu-tcp-established", ERROR), ("criu-file-locks", ERROR)],
        ),
    ],
)
def test_problems(changes: dict[str, Any], expected: list[tuple[str, Severity]]) -> None:
    found = problems(replace(GOOD, **changes))
    assert [(problem.code, problem.severity) for problem in found] == expected
    assert all(problem.hint for problem in found)


def test_the_text_names_who_and_what() -> None:
    found = problems(replace(GOOD, tcp=(tcp("ESTABLISHED"), tcp("ESTABLISHED")), locks=HELD))
    assert [problem.text for problem in found] == [
        "redis-server (process 9) has the TCP connection 10.89.0.2:6379 to 10.89.0.3:41234 and 1 more open",
        "nginx (process 7) holds a lock on /run/nginx.lock",
    ]


def test_an_error_is_raised_with_the_others_in_its_details() -> None:
    found = problems(replace(GOOD, io_uring=HELD, locks=HELD))
    with pytest.raises(Unsupported) as caught:
        judge(found, "web")
    error = caught.value
    assert error.code == "criu-io-uring"
    assert error.message == (
        "cannot checkpoint container web: nginx (process 7) uses io_uring, which CRIU cannot carry "
        "(and 1 more: nginx (process 7) holds a lock on /run/nginx.lock)"
    )
    assert [problem["code"] for problem in error.details["problems"]] == ["criu-io-uring", "criu-file-locks"]  # type: ignore[attr-defined]


def test_warnings_are_handed_on() -> None:
    (text,) = judge(problems(replace(GOOD, tcp=(tcp("CLOSE_WAIT"),))), "web")
    assert "not quite closed: use --tcp-established" in text


@pytest.mark.parametrize(("version", "method"), [(Release(4, 2), "skip"), (Release(3, 18), "tables")])
def test_nobody_is_locked_out_of_an_empty_network(
    monkeypatch: pytest.MonkeyPatch, version: Release, method: str
) -> None:
    monkeypatch.setattr("pyodcr.checkpoint.criu.version", lambda: version)
    (line,) = preflight.criu_options(isolated=True)
    assert line.startswith("network-lock ")
    assert line.endswith(method)


def test_the_way_of_locking_is_always_written_out() -> None:
    (line,) = preflight.criu_options()
    assert line in ("network-lock iptables", "network-lock nftables")
