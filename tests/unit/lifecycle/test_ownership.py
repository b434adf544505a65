"""Giving a tree away, also while somebody in it puts links where directories were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle import ownership


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were given away: nobody but root can really do it."""
    inodes: list[int] = []

    def chown(path: Any, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        assert (uid, gid) == (1000, 2000)
        inodes.append(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks).st_ino)

    monkeypatch.setattr(os, "chown", chown)
    return inodes


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/d/e").mkdir(parents=True)
    (tmp_path / "tree/d/e/file").touch()
    (tmp_path / "outside/e").mkdir(parents=True)
    (tmp_path / "outside/e/file").touch()
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    return tmp_path / "tree"


def inodes(*paths: Path) -> list[int]:
    return sorted(path.lstat().st_ino for path in paths)


def test_everything_and_nothing_but_that(tree: Path, given: list[int]) -> None:
    ownership.give(tree, (1000, 2000))
    assert sorted(given) == inodes(tree, *tree.rglob("*"))


def test_a_file(tree: Path, given: list[int]) -> None:
    ownership.give(tree / "d/e/file", (1000, 2000))
    assert given == inodes(tree / "d/e/file")


def test_a_link_is_not_followed(tree: Path, given: list[int]) -> None:
    ownership.give(tree / "link", (1000, 2000))
    assert given == inodes(tree / "link")


@pytest.mark.parametrize("at", ["d", "e", "file"])
def test_a_directory_that_becomes_a_link(
    tree: Path, given: list[int], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Swapped as the entry ``at`` is about to be changed: whatever is open by then, nothing outside is reached."""
    outside = inodes(*(tree.parent / "outside").rglob("*"), tree.parent / "outside")
    recorded = os.chown

    def swap_first(path: Any, *owner: int, **how: Any) -> None:
        if not isinstance(path, int) and Path(path).name == at:
            monkeypatch.setattr(os, "chown", recorded)
            (tree / "d").rename(tree / "moved")
            (tree / "d").symlink_to(tree.parent / "outside")
        recorded(path, *owner, **how)

    monkeypatch.setattr(os, "chown", swap_first)
    ownership.give(tree, (1000, 2000))
    assert (tree / "moved").exists(), "nothing was swapped"
    assert not set(given) & set(outside)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed, match=r"cannot change the owner of .*/gone: no such file or directory"):
        ownership.give(tmp_path / "gone", (1000, 2000))
