"""Paths beneath a directory: no link is followed, and none is too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.linux import beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_path_of_any_length(root: int) -> None:
    path = "/".join(["d" * 250] * 40)
    here = os.dup(root)
    for name in path.split("/"):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    expected = os.fstat(here).st_ino
    os.close(here)
    before = os.listdir("/proc/self/fd")
    assert beneath.stat(root, path).st_ino == expected
    with pytest.raises(FileNotFoundError):
        beneath.stat(root, f"{path}/missing")
    with pytest.raises(FileNotFoundError):
        beneath.stat(root, f"missing/{path}")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("path", ["link", "link/file", "dir/../../outside", "/etc"])
def test_no_way_out(root: int, tmp_path: Path, path: str) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").touch()
    (tmp_path / "link").symlink_to("dir")
    with pytest.raises(OSError, match=r"symbolic links|cross-device"):
        beneath.open_fd(root, path, os.O_RDONLY)


@pytest.mark.parametrize("path", ["", ".", "a/b", "x" * 5000, "a/" * 5000, "é/" * 3000 + "\udcff"])
def test_pieces_make_the_whole(path: str) -> None:
    pieces = beneath.pieces(path)
    assert "/".join(pieces) == path
    assert all(len(os.fsencode(piece)) < beneath.PATH_MAX for piece in pieces if "/" in piece)
