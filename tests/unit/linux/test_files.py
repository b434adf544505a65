"""Files that are whole or not there, and trees that are removed without leaving their filesystem."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.linux import files


def names(directory: Path) -> set[str]:
    return set(os.listdir(directory))


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write(path, "text")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("text", 0o600)
    previous = os.umask(0o077)
    try:
        files.write(path, b"bytes", mode=0o644)
    finally:
        os.umask(previous)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"bytes", 0o644)
    assert names(tmp_path) == {"f"}


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_what_breaks_off_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "f"
    files.write(path, "old")
    with pytest.raises(error):
        _break_off(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"f"}


def _break_off(path: Path, error: type[BaseException]) -> None:
    with files.replacing(path) as stream:
        stream.write(b"half")
        raise error


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write(path, "old")
    with files.replacing(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught:
        files.write(tmp_path / "none/f", "x")
    assert caught.value.message == f"cannot write {tmp_path}/none/f: no such file or directory"
    assert caught.value.details["errno"] == errno.ENOENT


def test_a_full_disk_is_said_to_be_one() -> None:
    with pytest.raises(SystemFailed) as caught:
        with open("/dev/full", "wb") as full:
            _fill(full.fileno())
    assert (caught.value.code, bool(caught.value.hint)) == ("no-space", True)


def _fill(fd: int) -> None:
    try:
        os.write(fd, b"x")
    except OSError as error:
        raise files.failed("write", Path("/dev/full"), error) from error


def test_reading(tmp_path: Path) -> None:
    assert files.read(tmp_path / "none") is None
    assert files.read(tmp_path / "none/deeper") is None
    (tmp_path / "f").write_bytes(b"a\xffb")
    assert files.read(tmp_path / "f") == "a\udcffb"
    assert files.read(tmp_path / "f/below") is None
    with pytest.raises(SystemFailed):
        files.read(tmp_path)


def test_making_a_directory(tmp_path: Path) -> None:
    made = files.make_directory(tmp_path / "a/b", mode=0o750)
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert files.make_directory(made) == made
    (tmp_path / "f").touch()
    with pytest.raises(SystemFailed):
        files.make_directory(tmp_path / "f/g")


def test_removing(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    files.remove(tmp_path / "f")
    files.remove(tmp_path / "f")
    assert not names(tmp_path)
    with pytest.raises(SystemFailed):
        files.remove(tmp_path)


def test_removing_a_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/f").touch()
    (tree / "a").chmod(0o000 if os.geteuid() == 0 else 0o700)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").touch()
    (tree / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(tree / "fifo")
    files.remove_tree(tree)
    files.remove_tree(tree)
    assert names(tmp_path) == {"outside"}
    assert names(tmp_path / "outside") == {"kept"}, "a link is removed, not what it leads to"


def test_a_tree_that_is_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to("kept")
    files.remove_tree(tmp_path / "f")
    files.remove_tree(tmp_path / "link")
    assert names(tmp_path) == {"kept"}


def test_a_deep_tree(tmp_path: Path) -> None:
    """A container may nest as it likes; deeper than a path may be long, and than Python recurses."""
    made = subprocess.run(
        [sys.executable, "-c", "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d'); open('f', 'w')"],
        cwd=tmp_path,
    )
    assert made.returncode == 0
    files.remove_tree(tmp_path / "d")
    assert not names(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("place", [".", "m", "m/deeper/still"])
def test_a_mount_stops_a_removal_before_it_is_emptied(tmp_path: Path, place: str) -> None:
    """A bind of the same filesystem, which has the same device number."""
    from pyodcr.linux import mounts

    mounted = tmp_path / "tree" / place
    mounted.mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    mounts.bind(tmp_path / "precious", mounted)
    try:
        with pytest.raises(SystemFailed) as caught:
            files.remove_tree(tmp_path / "tree")
        assert caught.value.details["errno"] == errno.EBUSY
    finally:
        assert (tmp_path / "precious/file").exists()
        mounts.unmount_below(tmp_path / "tree")
    files.remove_tree(tmp_path / "tree")
    assert names(tmp_path) == {"precious"}


def test_what_cannot_be_moved_or_synced_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed, match=r"cannot move .*/gone: no such file"):
        files.move(tmp_path / "gone", tmp_path / "target")
    with pytest.raises(SystemFailed, match=r"cannot write .*/gone: no such file"):
        files.fsync_directory(tmp_path / "gone")
