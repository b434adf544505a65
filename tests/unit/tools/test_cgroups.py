"""Where a session's own cgroups go, on each of the layouts a machine can have."""

from __future__ import annotations

from pathlib import Path

from tools.hosts.cgroups import members, parse_hierarchies, plan

HYBRID_CGROUP = "5:name=systemd:/\n4:memory:/job/7\n3:cpu,cpuacct:/\n0::/job\n"
HYBRID_MOUNTS = """\
20 1 0:19 / /proc rw - proc proc rw
30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
V2_MOUNTS = "30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_a_hybrid_machine_takes_the_session_below_its_caller() -> None:
    planned = plan("s", parse_hierarchies(HYBRID_CGROUP, HYBRID_MOUNTS))
    root = Path("/sys/fs/cgroup")
    assert {hierarchy.controllers: path for hierarchy, path in planned} == {
        "name=systemd": root / "systemd/pyodcr-testhost-s",
        "memory": root / "memory/job/7/pyodcr-testhost-s",
        "cpu,cpuacct": root / "cpu,cpuacct/pyodcr-testhost-s",
        "": root / "unified/job/pyodcr-testhost-s",
    }
    assert root / "unified/job/pyodcr-testhost-s/init" in members(planned)
    assert root / "memory/job/7/pyodcr-testhost-s" in members(planned)


def test_a_v2_machine_takes_it_at_the_top_where_controllers_can_be_handed_on() -> None:
    planned = plan("s", parse_hierarchies("0::/user.slice/session.scope\n", V2_MOUNTS))
    assert [path for _, path in planned] == [Path("/sys/fs/cgroup/pyodcr-testhost-s")]
    assert members(planned) == [Path("/sys/fs/cgroup/pyodcr-testhost-s/init")]


def test_a_hierarchy_mounted_from_below_its_root_is_followed_from_there() -> None:
    mounts = "32 30 0:28 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    found = parse_hierarchies("4:memory:/docker/ab/x\n", mounts)
    assert [hierarchy.own for hierarchy in found] == [Path("/sys/fs/cgroup/memory/x")]
