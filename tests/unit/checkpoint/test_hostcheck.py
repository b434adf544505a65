from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr import jsonio
from pyodcr.checkpoint.hostcheck import CHECKS, CheckResult, Status, kernel, places, programs, works
from pyodcr.checkpoint.hostcheck.result import Finding
from pyodcr.linux.cgroups import Layout
from pyodcr.linux.release import Release

ALL_CAPABILITIES = (1 << 41) - 1
OK, WARNING, MISSING, FAILED = Status.OK, Status.WARNING, Status.MISSING, Status.FAILED


def without(bit: int) -> int:
    return ALL_CAPABILITIES & ~(1 << bit)


def iptables(*more: str) -> list[str]:
    return ["iptables-restore", "ip6tables-restore", *more]


@pytest.mark.parametrize(
    ("finding", "status", "says"),
    [
        (kernel.judge_privileges(0, ALL_CAPABILITIES), OK, ""),
        (kernel.judge_privileges(0, without(24)), WARNING, "limit of open files"),
        (kernel.judge_privileges(0, without(21)), FAILED, "CAP_SYS_ADMIN"),
        (kernel.judge_privileges(1000, 0), FAILED, "need root"),
        (programs.judge_criu(Release(6, 12, 5), Release(4, 2)), OK, "suits kernel 6.12.5"),
        (programs.judge_criu(Release(6, 18, 1), Release(4, 1, 1)), FAILED, "SO_PASSCRED"),
        (programs.judge_criu(Release(6, 12, 41), Release(4, 1)), FAILED, "cannot be restored"),
        (programs.judge_lock_tools(iptables("nft")), OK, "iptables"),
        (programs.judge_lock_tools(iptables()), OK, "iptables"),
        (programs.judge_lock_tools(["nft", "iptables-restore"]), WARNING, "only with nftables"),
        (programs.judge_lock_tools(["ip6tables-restore"]), FAILED, "cannot lock"),
        (kernel.judge_lazy_pages(supported=True, pipe_bytes=4 << 20, unlimited=False), OK, "follow"),
        (kernel.judge_lazy_pages(supported=True, pipe_bytes=1 << 20, unlimited=True), OK, "follow"),
        (kernel.judge_lazy_pages(supported=True, pipe_bytes=1 << 20, unlimited=False), WARNING, "pipes of 4194304"),
        (kernel.judge_lazy_pages(supported=False, pipe_bytes=4 << 20, unlimited=True), WARNING, "cannot follow"),
        (kernel.judge_layout(Layout.V2, crun_refuses=False), OK, ""),
        (kernel.judge_layout(Layout.HYBRID, crun_refuses=False), OK, ""),
        (kernel.judge_layout(Layout.HYBRID, crun_refuses=True), WARNING, "crun refuses"),
        (places.judge_space("root", Path("/r"), 3 << 30, 2 << 30), OK, ""),
        (places.judge_space("root", Path("/r"), 1 << 30, 2 << 30), WARNING, "less than 2 GiB"),
    ],
)
def test_a_decision(finding: Finding, status: Status, says: str) -> None:
    assert finding.status is status
    assert says in finding.detail
    assert (finding.hint == "") == (status is OK)


def test_the_hint_names_the_criu_that_meets_every_need() -> None:
    assert "criu 4.2 or later" in programs.judge_criu(Release(6, 18, 1), Release(3, 17, 1)).hint


@pytest.mark.parametrize(
    ("enforce", "apparmor", "expected"),
    [
        ("1\n", False, "SELinux, enforcing"),
        ("0\n", False, "SELinux, permissive"),
        (None, True, "AppArmor"),
        (None, False, "none"),
    ],
)
def test_the_security_module(enforce: str | None, apparmor: bool, expected: str) -> None:
    assert kernel.active_module(enforce, apparmor=apparmor) == expected


def test_names_are_unique() -> None:
    assert len({name for name, _ in CHECKS}) == len(CHECKS)


def test_a_result_has_all_its_keys_in_json() -> None:
    result = CheckResult("criu", OK, "4.2.1", "", "")
    assert jsonio.encode(result) == {"name": "criu", "status": "ok", "found": "4.2.1", "detail": "", "hint": ""}


@pytest.mark.parametrize(("status", "expected"), [(OK, True), (WARNING, True), (MISSING, True), (FAILED, False)])
def test_a_host_works_unless_something_failed(status: Status, expected: bool) -> None:
    results = (CheckResult("a", OK, "", "", ""), CheckResult("b", status, "", "", ""))
    assert works(results) is expected
