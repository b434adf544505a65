"""What mountinfo says, and that unmounting may be repeated. What needs root is in tests/integration."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.linux import mounts

LINE = r"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 shared:2 - ext3 /dev/with\040space rw,errors=continue"


def test_a_line_of_mountinfo() -> None:
    found = mounts.parse(LINE)
    assert (found.id, found.parent, found.root) == (36, 35, "/mnt1")
    assert found.target == Path("/mnt 2\\x")
    assert (found.fstype, found.source) == ("ext3", "/dev/with space")
    assert found.options == "rw,noatime,rw,errors=continue"


def test_a_line_without_optional_fields_and_with_an_empty_source() -> None:
    found = mounts.parse("1 0 0:1 / / rw - tmpfs  rw")
    assert (found.fstype, found.source, found.options) == ("tmpfs", "", "rw,rw")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[mounts.Mount]:
    places = ("/a", "/a/b", "/ab", "/a/b/c", "/x", "/a/b")
    made = [mounts.Mount(n, 0, "/", Path(place), "tmpfs", "none", "rw") for n, place in enumerate(places)]
    monkeypatch.setattr(mounts, "table", lambda: iter(made))
    return made


@pytest.mark.usefixtures("table")
def test_below_is_by_components() -> None:
    assert [found.id for found in mounts.below(Path("/a"))] == [0, 1, 3, 5]
    assert [found.id for found in mounts.below(Path("/a/b"))] == [1, 3, 5]
    assert mounts.below(Path("/none")) == []


@pytest.mark.usefixtures("table")
def test_the_last_mounted_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[tuple[Path, bool]] = []
    monkeypatch.setattr(mounts, "unmount", lambda target, *, lazy=False: gone.append((target, lazy)))
    found = mounts.unmount_below(Path("/a/b"))
    assert found == [Path("/a/b"), Path("/a/b/c"), Path("/a/b")]
    assert gone == [(target, True) for target in found]


def test_the_real_table() -> None:
    assert mounts.is_mounted(Path("/proc"))
    assert any(found.fstype == "proc" for found in mounts.below(Path("/")))
    assert list(mounts.table("self"))


@pytest.mark.skipif(os.geteuid() != 0, reason="without root the kernel does not even look")
def test_what_is_not_mounted_or_not_there(tmp_path: Path) -> None:
    assert not mounts.is_mounted(tmp_path)
    assert mounts.unmount(tmp_path) is False
    assert mounts.unmount(tmp_path / "none") is False


def test_a_mount_that_fails_says_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught:
        mounts.mount("none", tmp_path / "none", "tmpfs")
    assert str(tmp_path / "none") in caught.value.message
    assert caught.value.details["errno"] in (errno.ENOENT, errno.EPERM)
