"""``system check`` on the test host, as it is and with things taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyodcr import jsonio
from pyodcr.checkpoint import hostcheck
from pyodcr.checkpoint.hostcheck import CheckResult, Status
from pyodcr.config import Config
from pyodcr.lifecycle import probe

pytestmark = pytest.mark.root

PROGRAM = """
import json
from pathlib import Path
from pyodcr import jsonio
from pyodcr.checkpoint import hostcheck
from pyodcr.config import Config
config = Config(root=Path({root!r}), runroot=Path({runroot!r}))
print(json.dumps([jsonio.encode(result) for result in hostcheck.check(config)]))
"""


@pytest.fixture
def config() -> Config:
    return Config(root=Path("/var/lib/pyodcr/check"), runroot=Path("/run/pyodcr-check"))


def changed_host(config: Config, change: str) -> dict[str, CheckResult]:
    """The results on this host after the shell commands ``change``, made in a mount namespace of their own."""
    program = PROGRAM.format(root=str(config.root), runroot=str(config.runroot))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f'{change}\nexec "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "/src"},
    )
    assert done.returncode == 0, done.stderr
    results = [jsonio.decode(CheckResult, result) for result in json.loads(done.stdout)]
    return {result.name: result for result in results}


def without(*programs: str) -> str:
    return "\n".join(f'mount --bind /dev/null "$(readlink -f "$(command -v {name})")"' for name in programs)


def test_the_test_host_is_fit(config: Config) -> None:
    found = hostcheck.check(config)
    results = {result.name: result for result in found}
    assert list(results) == [name for name, _ in hostcheck.CHECKS]
    assert hostcheck.works(found), [result for result in found if result.status is Status.FAILED]
    fit = ("criu", "criu-check", "pycriu", "crun", "runc", "default-runtime", "conmon", "network-lock", "netavark")
    assert {results[name].status for name in (*fit, "skopeo", "overlay", "root", "runroot")} == {Status.OK}
    assert results["default-runtime"].found == "crun"
    assert results["pycriu"].found == results["criu"].found
    assert not list(config.root.parent.glob(".pyodcr-trial-*"))


@pytest.mark.parametrize("name", ["crun", "runc"])
def test_both_runtimes_can_checkpoint_here(config: Config, name: str) -> None:
    info = probe.runtime(config, name)
    assert (info.can_run, info.can_checkpoint, info.why_not) == (True, True, "")


def test_an_ordinary_user_is_told_so(config: Config) -> None:
    """With nothing but findings: no check breaks for want of rights."""
    program = PROGRAM.format(root=str(config.root), runroot=str(config.runroot))
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "/src"},
    )
    assert done.returncode == 0, done.stderr
    results = {result["name"]: result for result in json.loads(done.stdout)}
    assert (results["privileges"]["status"], results["privileges"]["found"]) == ("failed", "user 65534")
    assert results["crun"]["status"] == "ok"
    assert results["overlay"]["status"] == "warning"


def test_without_criu(config: Config) -> None:
    results = changed_host(config, without("criu"))
    assert results["criu"].status is Status.FAILED
    assert "criu is not installed" in results["criu"].detail
    assert results["criu"].hint


def test_without_crun_runc_is_taken(config: Config) -> None:
    results = changed_host(config, without("crun"))
    assert results["crun"].status is Status.MISSING
    assert (results["default-runtime"].status, results["default-runtime"].found) == (Status.OK, "runc")


def test_without_libcriu_crun_cannot_checkpoint(config: Config) -> None:
    change = 'for f in /usr/lib/*/libcriu.so.2; do mount --bind /dev/null "$(readlink -f "$f")"; done'
    results = changed_host(config, change)
    assert results["crun"].status is Status.WARNING
    assert "libcriu.so.2" in results["crun"].detail
    assert results["default-runtime"].found == "runc"


def test_without_any_runtime(config: Config) -> None:
    results = changed_host(config, without("crun", "runc"))
    assert results["default-runtime"].status is Status.FAILED


def test_without_iptables_nftables_must_do(config: Config) -> None:
    results = changed_host(config, without("iptables-restore"))
    assert results["network-lock"].status is Status.WARNING
    results = changed_host(config, without("iptables-restore", "nft"))
    assert results["network-lock"].status is Status.FAILED


def test_without_conmon_and_the_optional_programs(config: Config) -> None:
    results = changed_host(config, without("conmon", "skopeo") + "\nmount --bind /dev/null /usr/lib/podman/netavark")
    assert results["conmon"].status is Status.FAILED
    assert results["skopeo"].status is Status.MISSING
    assert results["netavark"].status is Status.MISSING


def test_a_root_that_is_noexec_and_small(config: Config) -> None:
    place = config.root.parent
    results = changed_host(config, f"mount -t tmpfs -o noexec,size=16m tmpfs {place}")
    assert results["root"].status is Status.FAILED
    assert "noexec" in results["root"].detail
    results = changed_host(config, f"mount -t tmpfs -o size=16m tmpfs {place}")
    assert results["root"].status is Status.WARNING


def test_a_root_that_cannot_hold_an_overlay(config: Config) -> None:
    place = config.root.parent
    results = changed_host(config, f"mount -t tmpfs tmpfs {place}\nmount -o remount,ro {place}")
    assert results["overlay"].status is Status.FAILED
    assert "cannot write below" in results["overlay"].detail


def test_crun_is_not_chosen_on_hybrid_cgroups_with_controllers(config: Config) -> None:
    """The layout is bind-mounted, not real: a v2 hierarchy whose list of controllers is not empty."""
    controllers = config.runroot.with_name("controllers")
    controllers.write_text("hugetlb\n")
    change = (
        "mkdir -p /run/cgroup-copy && mount --rbind /sys/fs/cgroup /run/cgroup-copy\n"
        "mount -t tmpfs tmpfs /sys/fs/cgroup\n"
        "mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/memory\n"
        "mount --bind /run/cgroup-copy/memory /sys/fs/cgroup/memory\n"
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified\n"
        f"mount --bind {controllers} /sys/fs/cgroup/unified/cgroup.controllers\n"
    )
    results = changed_host(config, change)
    assert results["cgroups"].status is Status.WARNING
    assert results["cgroups"].found == "hybrid"
    assert results["crun"].status is Status.WARNING
    assert "hybrid" in results["crun"].detail
    assert results["default-runtime"].found == "runc"
