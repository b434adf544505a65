"""Profiles resolved into filters, and our own profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr import jsonio
from pyodcr.errors import UsageError
from pyodcr.lifecycle.spec import capabilities, seccomp
from pyodcr.linux.release import Release

from .conftest import KERNEL, Make

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def _names(filtered: dict[str, Any] | None, action: str = ALLOW) -> set[str]:
    assert filtered is not None
    return {name for rule in filtered["syscalls"] if rule["action"] == action for name in rule["names"]}


def _resolve(*rules: dict[str, Any], **profile: Any) -> dict[str, Any] | None:
    document = {"defaultAction": ERRNO, "syscalls": list(rules), **profile}
    return seccomp.resolve(document, KERNEL, ["CAP_CHOWN", "CAP_KILL"])


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_KILL"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.13"}}, False),
        ({"includes": None, "excludes": None}, True),
    ],
)
def test_a_rule_may_have_conditions(condition: dict[str, Any], applies: bool) -> None:
    assert ("ptrace" in _names(_resolve({"names": ["ptrace"], "action": ALLOW, **condition}))) is applies


def test_a_filter_has_no_conditions_left() -> None:
    rule = {
        "name": "socket",
        "action": ERRNO,
        "errno": "EINVAL",
        "comment": "x",
        "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}],
    }
    filtered = _resolve(
        rule,
        defaultErrno="ENOSYS",
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        flags=["SECCOMP_FILTER_FLAG_LOG"],
    )
    assert filtered == {
        "defaultAction": ERRNO,
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {
                "names": ["socket"],
                "action": ERRNO,
                "errnoRet": 22,
                "args": [{"index": 0, "value": 40, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
            }
        ],
    }


def test_an_empty_profile_filters_nothing() -> None:
    assert seccomp.resolve({}, KERNEL, []) is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"syscalls": [{"names": ["x"], "action": "A"}]}',
        '{"defaultAction": "A", "syscalls": [{"action": "A"}]}',
        '{"defaultAction": "A", "syscalls": [{"name": "x", "names": ["y"], "action": "A"}]}',
        '{"defaultAction": "A", "syscalls": [{"names": ["x"]}]}',
        '{"defaultAction": "A", "syscalls": ["x"]}',
        '{"defaultAction": "A", "defaultErrno": "EWRONG"}',
        '{"defaultAction": "A", "architectures": ["x"], "archMap": [{"architecture": "y"}]}',
    ],
)
def test_a_broken_profile_is_refused(make: Make, tmp_path: Path, content: str) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(content)
    with pytest.raises(UsageError, match="loading seccomp profile"):
        make(security_opt=(f"seccomp={profile}",))


def test_a_profile_that_is_not_there(make: Make) -> None:
    with pytest.raises(UsageError, match="opening seccomp profile failed: open /no/such: no such file or directory"):
        make(security_opt=("seccomp=/no/such",))


def test_who_is_filtered_and_how(make: Make, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    mine = f"seccomp={profile}"
    assert make().spec["linux"]["seccomp"]["defaultAction"] == ERRNO
    assert make(security_opt=(mine,)).spec["linux"]["seccomp"]["defaultAction"] == ALLOW
    assert make(security_opt=(mine,), privileged=True).spec["linux"]["seccomp"]["defaultAction"] == ALLOW
    assert "seccomp" not in make(privileged=True).spec["linux"]
    assert "seccomp" not in make(security_opt=("seccomp=unconfined",)).spec["linux"]


# -- ours


def _ours(*held: str, machine: str = "x86_64") -> dict[str, Any]:
    kernel = replace(KERNEL, machine=machine, release=Release(6, 12))
    filtered = seccomp.resolve(jsonio.loads(seccomp.OURS.read_bytes()), kernel, [*capabilities.DEFAULT, *held])
    assert filtered is not None
    return filtered


def test_ours_refuses_what_it_does_not_know_as_an_old_kernel_would() -> None:
    assert (_ours()["defaultAction"], _ours()["defaultErrnoRet"]) == (ERRNO, 38)


def test_ours_allows_what_programs_need() -> None:
    assert {"read", "mmap", "clone3", "futex", "epoll_wait", "execve", "statx", "arch_prctl", "rseq"} <= _names(_ours())


def test_ours_goes_by_capabilities() -> None:
    assert {"bpf", "acct", "init_module", "kexec_load", "userfaultfd"} <= _names(_ours(), ERRNO)
    assert "io_uring_setup" not in _names(_ours()) | _names(_ours(), ERRNO)
    assert "bpf" in _names(_ours("CAP_BPF"))
    assert "bpf" in _names(_ours("CAP_SYS_ADMIN"))
    assert "kexec_load" not in _names(_ours(*capabilities.ALL))


@pytest.mark.parametrize("held", [(), ("CAP_SYS_ADMIN",), ("CAP_BPF",), ("CAP_SYS_ADMIN", "CAP_BPF"), capabilities.ALL])
def test_ours_never_says_two_things_of_one_call(held: tuple[str, ...]) -> None:
    plain = [name for rule in _ours(*held)["syscalls"] if "args" not in rule for name in rule["names"]]
    assert sorted(plain) == sorted(set(plain))


def test_ours_knows_other_machines() -> None:
    assert "arch_prctl" not in _names(_ours(machine="aarch64"))
    assert "cacheflush" in _names(_ours(machine="aarch64"))
    assert _ours(machine="aarch64")["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "architectures" not in _ours(machine="unheard-of")
