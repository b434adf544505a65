"""Cgroups as files: the layouts a host can have, made up as directories."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyodcr.linux import cgroups, mounts
from pyodcr.linux.cgroups import Hierarchy, Layout

CGROUP = "/pyodcr/abc"


def mount(target: Path, fstype: str, options: str) -> mounts.Mount:
    return mounts.Mount(1, 0, "/", target, fstype, "cgroup", options)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``host(memory="rw,memory", unified=None)``: v1 hierarchies by their options, None for v2."""

    def make(**hierarchies: str | None) -> None:
        table = []
        for name, options in hierarchies.items():
            (tmp_path / name).mkdir()
            table.append(mount(tmp_path / name, "cgroup" if options else "cgroup2", options or "rw"))
        monkeypatch.setattr(mounts, "table", lambda: iter([mount(tmp_path, "tmpfs", "rw"), *table]))
        cgroups.hierarchies.cache_clear()

    yield make
    cgroups.hierarchies.cache_clear()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_layouts(host: Callable[..., None], tmp_path: Path) -> None:
    host(unified=None)
    assert cgroups.layout() is Layout.V2
    for directory in tmp_path.iterdir():
        directory.rmdir()
    host(freezer="rw,freezer")
    assert cgroups.layout() is Layout.V1
    for directory in tmp_path.iterdir():
        directory.rmdir()
    host(cpu="rw,cpu,cpuacct", unified=None)
    assert cgroups.layout() is Layout.HYBRID
    assert cgroups.hierarchies()[0] == Hierarchy(tmp_path / "cpu", frozenset({"rw", "cpu", "cpuacct"}), unified=False)


def test_processes_of_all_hierarchies_and_below(host: Callable[..., None], tmp_path: Path) -> None:
    host(memory="rw,memory", unified=None)
    write(tmp_path / "memory/pyodcr/abc/cgroup.procs", "0\n1\n5\n2\n")
    write(tmp_path / "unified/pyodcr/abc/cgroup.procs", "2\n")
    write(tmp_path / "unified/pyodcr/abc/child/cgroup.procs", "3\n")
    write(tmp_path / "unified/pyodcr/other/cgroup.procs", "4\n")
    assert cgroups.processes(CGROUP) == {2, 3, 5}, "0 is one of a foreign pid namespace"
    assert cgroups.processes("/none") == frozenset()


def test_the_root_of_a_hierarchy_is_nobodys_cgroup(host: Callable[..., None], tmp_path: Path) -> None:
    host(unified=None)
    write(tmp_path / "unified/cgroup.procs", f"{os.getpid()}\n")
    for name in ("", "/"):
        assert cgroups.processes(name) == frozenset()
        assert cgroups.kill(name)
        cgroups.remove(name)
    assert (tmp_path / "unified/cgroup.procs").exists()


@pytest.mark.parametrize(
    ("hierarchies", "file", "frozen", "thawed"),
    [
        ({"freezer": "rw,freezer"}, "freezer/pyodcr/abc/freezer.state", "FROZEN", "THAWED"),
        ({"unified": None}, "unified/pyodcr/abc/cgroup.freeze", "1", "0"),
    ],
)
def test_the_freezer(
    host: Callable[..., None],
    tmp_path: Path,
    hierarchies: dict[str, str | None],
    file: str,
    frozen: str,
    thawed: str,
) -> None:
    host(**hierarchies)
    assert not cgroups.is_frozen(CGROUP)
    cgroups.thaw(CGROUP)
    state = write(tmp_path / file, f"{frozen}\n")
    assert cgroups.is_frozen(CGROUP)
    cgroups.thaw(CGROUP)
    assert state.read_text() == thawed
    assert not cgroups.is_frozen(CGROUP)


def test_freezing_is_frozen(host: Callable[..., None], tmp_path: Path) -> None:
    host(freezer="rw,freezer")
    write(tmp_path / "freezer/pyodcr/abc/freezer.state", "FREEZING\n")
    assert cgroups.is_frozen(CGROUP)


def test_everything_is_killed_until_nothing_is_left(host: Callable[..., None], tmp_path: Path) -> None:
    host(unified=None)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        procs = write(tmp_path / "unified/pyodcr/abc/cgroup.procs", f"{child.pid}\n{os.getpid()}\n")
        freeze = write(tmp_path / "unified/pyodcr/abc/cgroup.freeze", "1")
        watch = os.pidfd_open(child.pid)

        def kernel_takes_it_out(_: float) -> None:
            if child.poll() is not None:
                procs.write_text(f"{os.getpid()}\n")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.sleep", kernel_takes_it_out)
            patch.setattr(cgroups, "KILL_ATTEMPTS", 1_000_000)
            assert cgroups.kill(CGROUP)
        os.close(watch)
    assert child.returncode == -signal.SIGKILL
    assert freeze.read_text() == "0", "a frozen process does not die"


def test_what_does_not_die_is_told(host: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host(unified=None)
    write(tmp_path / "unified/pyodcr/abc/cgroup.procs", f"{2**22 + 1}\n")
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert not cgroups.kill(CGROUP)


def test_removal_is_deepest_first_and_may_be_repeated(host: Callable[..., None], tmp_path: Path) -> None:
    host(memory="rw,memory", unified=None)
    for name in ("memory/pyodcr/abc", "unified/pyodcr/abc/a/b", "unified/pyodcr/other"):
        (tmp_path / name).mkdir(parents=True)
    for _ in range(2):
        cgroups.remove(CGROUP)
        assert not list(tmp_path.glob("*/pyodcr/abc"))
    assert (tmp_path / "unified/pyodcr/other").exists()


def test_memory(host: Callable[..., None], tmp_path: Path) -> None:
    host(cpu="rw,cpu", memory="rw,memory")
    assert cgroups.memory_bytes(CGROUP) is None
    write(tmp_path / "cpu/pyodcr/abc/memory.usage_in_bytes", "1\n")
    write(tmp_path / "memory/pyodcr/abc/memory.usage_in_bytes", "4096\n")
    assert cgroups.memory_bytes(CGROUP) == 4096


def test_memory_on_v2(host: Callable[..., None], tmp_path: Path) -> None:
    host(unified=None)
    write(tmp_path / "unified/pyodcr/abc/memory.current", "8192\n")
    assert cgroups.memory_bytes(CGROUP) == 8192


def test_adopting(host: Callable[..., None], tmp_path: Path) -> None:
    host(memory="rw,memory", systemd="rw,name=systemd", unified=None)
    cgroups.adopt(7, "/pyodcr/conmon")
    assert (tmp_path / "systemd/pyodcr/conmon/cgroup.procs").read_text() == "7"
    assert (tmp_path / "unified/pyodcr/conmon/cgroup.procs").read_text() == "7"
    assert not (tmp_path / "memory/pyodcr").exists(), "who keeps track of it does not limit it"


def test_a_cgroup_that_cannot_be_made_is_no_reason_to_fail(host: Callable[..., None], tmp_path: Path) -> None:
    host(unified=None)
    (tmp_path / "unified/pyodcr").touch()
    cgroups.adopt(7, "/pyodcr/conmon")
