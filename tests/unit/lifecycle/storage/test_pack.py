"""Packing, as far as it needs no root; what comes out is read by Python's tarfile."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed
from pyodcr.lifecycle.storage import pack
from pyodcr.lifecycle.storage.pack import Plan


def written(plan: Plan, progress: Callable[[int], None] | None = None) -> tarfile.TarFile:
    sink = io.BytesIO()
    plan.write(sink, progress)
    assert len(sink.getvalue()) == plan.size
    return tarfile.open(fileobj=io.BytesIO(sink.getvalue()))


def content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "dir" / "file").write_bytes(b"content")
    (root / "dir" / "sub" / "big").write_bytes(os.urandom(3 << 20))
    (root / "dir-and-more").write_bytes(b"")
    (root / "link").symlink_to("dir/file")
    os.link(root / "dir" / "file", root / "zz-second-name")
    os.mkfifo(root / "fifo")
    return root


def test_a_whole_tree_begins_with_its_root_and_goes_down_before_it_goes_on(tree: Path) -> None:
    with written(pack.scan(tree)) as archive:
        assert [info.name for info in archive] == [
            ".", "dir-and-more", "fifo", "link", "zz-second-name", "dir", "dir/file", "dir/sub", "dir/sub/big",
        ]  # fmt: skip
        assert content(archive, "dir/sub/big") == (tree / "dir" / "sub" / "big").read_bytes()
        assert content(archive, "zz-second-name") == b"content"
        assert archive.getmember("dir/file").islnk()
        assert archive.getmember("link").linkname == "dir/file"
        assert archive.getmember("fifo").isfifo()


def test_names_are_taken_exactly(tree: Path) -> None:
    names = [".", "zz-second-name", "dir", "dir/file", "dir/sub", "dir-and-more"]
    with written(pack.scan(tree, iter(names))) as archive:
        assert archive.getnames() == names
        assert archive.getmember("dir/file").linkname == "zz-second-name"


def test_no_names_are_an_empty_archive(tree: Path) -> None:
    with written(pack.scan(tree, [])) as archive:
        assert archive.getnames() == []


def test_sockets_stay_out(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        for names in (None, ["socket", "link"]):
            with written(pack.scan(tree, names)) as archive:
                assert "socket" not in archive.getnames()
                assert "link" in archive.getnames()


def test_progress_adds_up_to_the_size(tree: Path) -> None:
    steps = list[int]()
    plan = pack.scan(tree)
    written(plan, steps.append)
    assert sum(steps) == plan.size
    assert len(steps) > 3


def test_holes_are_not_written(tree: Path) -> None:
    with (tree / "holes").open("wb") as stream:
        stream.seek(10 << 20)
        stream.write(b"end")
    plan = pack.scan(tree, ["holes"])
    assert plan.size < 100_000
    with written(plan) as archive:
        assert content(archive, "holes") == bytes(10 << 20) + b"end"


@pytest.mark.parametrize("distances", [[1] * 30, [1] * 9 + [40, 1, 1, 40], [3, 2, 1, 40, 40]])
def test_of_too_many_holes_the_widest_are_kept(
    tree: Path, monkeypatch: pytest.MonkeyPatch, distances: list[int]
) -> None:
    monkeypatch.setattr(pack, "_MAX_SEGMENTS", 3)
    with (tree / "holes").open("wb") as stream:
        for distance in [0, *distances]:
            stream.seek(distance << 17, os.SEEK_CUR)
            stream.write(b"crumb")
    plan = pack.scan(tree, ["holes"])
    assert plan.size < (sum(sorted(distances)[:-2]) + 1) << 17
    with written(plan) as archive:
        assert content(archive, "holes") == (tree / "holes").read_bytes()


# --- a tree that does not hold still ---------------------------------------------------------------------------------


def test_what_a_file_gained_is_left_out(tree: Path) -> None:
    plan = pack.scan(tree)
    with (tree / "dir" / "file").open("ab") as stream:
        stream.write(b" and more" * 100_000)
    with written(plan) as archive:
        assert content(archive, "dir/file") == b"content"


def swap_for_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def swap_for_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_its_directory_for_a_link(path: Path) -> None:
    outside = path.parent.parent.with_name("outside")
    outside.mkdir()
    (outside / path.name).write_bytes(b"secret" * 1_000_000)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(outside)


@pytest.mark.parametrize(
    "swap",
    [
        lambda path: os.truncate(path, 1 << 20),
        lambda path: os.truncate(path, 0),
        Path.unlink,
        swap_for_a_link,
        swap_for_a_fifo,
        swap_its_directory_for_a_link,
    ],
)
def test_what_a_file_lost_is_zeros_and_an_error(tree: Path, swap: Callable[[Path], object]) -> None:
    big = tree / "dir" / "sub" / "big"
    before = big.read_bytes()
    plan = pack.scan(tree)
    swap(big)
    sink = io.BytesIO()
    with pytest.raises(SystemFailed) as caught:
        plan.write(sink)
    assert caught.value.code == "archive-source-changed"
    assert str(big) in str(caught.value)
    assert len(sink.getvalue()) == plan.size
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        kept = content(archive, "dir/sub/big").rstrip(b"\0")
        assert before.startswith(kept)
        assert content(archive, "zz-second-name") == b"content"


def test_a_name_that_is_not_there_is_an_error(tree: Path) -> None:
    for name in ("missing", "missing/below", "dir/file/below", "link/below"):
        with pytest.raises(SystemFailed) as caught:
            pack.scan(tree, [name])
        assert caught.value.code == "archive-source-changed"


def test_a_name_that_leads_out_is_an_error(tree: Path) -> None:
    for name in ("../outside", "/etc/passwd", "dir/../../x/y"):
        with pytest.raises(SystemFailed):
            pack.scan(tree, [name])


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed):
        pack.scan(tmp_path / "missing")


def test_errors_of_the_sink_are_its_own(tree: Path) -> None:
    class Full:
        def write(self, data: bytes, /) -> object:
            raise OSError(28, "no space left")

    with pytest.raises(OSError, match="no space left"):
        pack.scan(tree).write(Full())
