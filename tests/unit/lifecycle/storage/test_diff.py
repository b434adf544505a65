"""What needs no overlay: plain upper directories, and what becomes of a diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.storage.diff import ENGINES_OWN, ArchiveNames, Diff, archive_names, changes


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


@pytest.mark.parametrize(
    ("diff", "expected"),
    [
        (Diff((), (), ()), ArchiveNames((), ())),
        (Diff(("/a/new",), ("/a", "/"), ("/a/old",)), ArchiveNames((".", "a", "a/new"), ("/a/old",))),
        (Diff(("/s", "/f"), (), (), frozenset({"/s"})), ArchiveNames(("f",), ())),
        (Diff((), ("/s", "/f"), ("/x",), frozenset({"/s"})), ArchiveNames(("f",), ("/s", "/x"))),
    ],
)
def test_how_a_diff_travels(diff: Diff, expected: ArchiveNames) -> None:
    assert archive_names(diff) == expected
