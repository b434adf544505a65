"""What needs no overlay: plain upper directories, and what becomes of a diff."""

from __future__ import annotations

import socket
import tracemalloc
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.storage.diff import ENGINES_OWN, Diff, archive_names, changes


def test_without_layers_all_is_added(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "app.conf").touch()
    (tmp_path / "etc" / "hosts").touch()
    (tmp_path / "link").symlink_to("etc")
    found = changes(tmp_path, [])
    assert found == Diff(added=("/etc", "/etc/app.conf", "/link"), modified=(), deleted=())


def test_what_the_engine_makes_itself_is_no_change(tmp_path: Path) -> None:
    for path in sorted(ENGINES_OWN):
        place = tmp_path / path.lstrip("/")
        place.mkdir(parents=True)
        (place / "below").touch()
    assert changes(tmp_path, []).added == (*sorted(["/etc", *(f"{path}/below" for path in ENGINES_OWN)]),)


def test_a_missing_upper_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed):
        changes(tmp_path / "missing", [])


def test_names_come_directory_by_directory(tmp_path: Path) -> None:
    for name in ("b/y/z", "b/x", "a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b/y/file", "b/file", "file", "b/x/file"):
        (tmp_path / name).touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    found = archive_names(tmp_path, [])
    assert list(found.names) == ["file", "a", "b", "b/file", "b/x", "b/x/file", "b/y", "b/y/file", "b/y/z"]
    assert found.deleted == ()
    assert "/socket" in changes(tmp_path, []).added


def test_the_root_is_first_if_it_changed(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    lower.mkdir(mode=0o755)
    upper.mkdir(mode=0o700)
    (upper / "file").touch()
    assert list(archive_names(upper, [lower]).names) == [".", "file"]
    upper.chmod(lower.stat().st_mode)
    assert list(archive_names(upper, [lower]).names) == ["file"]


def test_a_list_of_names_takes_little_memory(tmp_path: Path) -> None:
    for number in range(2_000):
        (tmp_path / f"a-file-with-a-longer-name-{number}").touch()
    tracemalloc.start()
    try:
        found = archive_names(tmp_path, [])
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(found.names) == 2_000
    assert left < 2_000 * 50
