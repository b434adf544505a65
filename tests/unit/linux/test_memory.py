from __future__ import annotations

from pathlib import Path

from pyodcr.linux import memory, mounts

V2 = mounts.parse("30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
V1 = mounts.parse("31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory")
V1_CPU = mounts.parse("32 1 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
BELOW = mounts.parse("33 1 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw")


def test_every_group_up_to_the_root_may_bound_us() -> None:
    assert list(memory.places(["0::/user.slice/a b"], [V2])) == [
        (Path("/sys/fs/cgroup/user.slice/a b"), True),
        (Path("/sys/fs/cgroup/user.slice"), True),
        (Path("/sys/fs/cgroup"), True),
    ]


def test_v1_has_a_hierarchy_for_memory() -> None:
    own = ["4:memory:/jobs", "2:cpu,cpuacct:/other", "0::/"]
    assert list(memory.places(own, [V1_CPU, V1])) == [
        (Path("/sys/fs/cgroup/memory/jobs"), False),
        (Path("/sys/fs/cgroup/memory"), False),
    ]


def test_a_hierarchy_may_be_mounted_from_within() -> None:
    assert list(memory.places(["0::/docker/abc/inner"], [BELOW])) == [
        (Path("/sys/fs/cgroup/inner"), True),
        (Path("/sys/fs/cgroup"), True),
    ]
    assert list(memory.places(["0::/somewhere/else"], [BELOW])) == []


def test_of_a_limit_the_page_cache_counts_as_free(tmp_path: Path) -> None:
    files = {
        "memory.max": "1000\n",
        "memory.high": "800\n",
        "memory.current": "600\n",
        "memory.stat": "anon 500\ninactive_file 100\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory._limit(tmp_path, unified=True) == memory.Limit(tmp_path, 300)
    (tmp_path / "memory.high").write_text("max\n")
    assert memory._limit(tmp_path, unified=True) == memory.Limit(tmp_path, 500)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._limit(tmp_path, unified=True) is None
    assert memory._limit(tmp_path / "missing", unified=True) is None


def test_of_a_v1_limit_too(tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": "1000\n",
        "memory.usage_in_bytes": "900\n",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 250\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory._limit(tmp_path, unified=False) == memory.Limit(tmp_path, 350)
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory._limit(tmp_path, unified=False) is None


def test_this_host_has_memory() -> None:
    host = memory.host()
    assert 0 < host["MemAvailable"] <= host["MemTotal"]
    assert all(limit.free_bytes >= 0 for limit in memory.limits())
