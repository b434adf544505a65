"""What an archive may do to the host that imports it, and to the containers that are there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.models import Container, ContainerState
from pyodcr.lifecycle.operations import Stage
from pyodcr.linux import mounts
from tests.integration.conftest import RUNTIMES
from tests.support.archives import podmans, settings
from tests.support.box import Box
from tests.support.checkpoints import operations, start_counter

pytestmark = pytest.mark.root


@pytest.fixture
def shared_tree(tmp_path: Path) -> Iterator[Path]:
    """A mount that propagates, as a host's / does, with another one below it."""
    tree = tmp_path / "tree"
    tree.mkdir()
    mounts.mount("tree", tree, "tmpfs")
    mounts.mount("none", tree, flags=1 << 20)  # MS_SHARED
    (tree / "below").mkdir()
    mounts.mount("below", tree / "below", "tmpfs")
    yield tree
    mounts.unmount_below(tree)


@pytest.mark.parametrize("times", [1, 2], ids=["one", "one-over-another"])
def test_a_recursive_bind_is_unmounted_and_not_what_it_shows(shared_tree: Path, tmp_path: Path, times: int) -> None:
    """As a killed crun restore leaves one, as BUNDLE/criu-root."""
    bind = tmp_path / "criu-root"
    bind.mkdir()
    for _ in range(times):
        mounts.bind(shared_tree, bind)
    assert mounts.is_mounted(bind / "below")
    mounts.unmount_below(bind)
    assert mounts.below(bind) == []
    assert mounts.is_mounted(shared_tree / "below")


@pytest.mark.parametrize("mounted", ["/", "tmpfs"])
def test_a_root_directory_with_mounts_in_it_is_refused(box: Box, tree: Path, shared_tree: Path, mounted: str) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    rootfs = mounted if mounted == "/" else str(shared_tree)
    hostile = podmans(archive, box.root / "hostile.tar", settings(rootfs=rootfs, rootfs_overlay=False))
    before = mounts.below(Path("/"))
    error = box.fail("restore", "-i", hostile, code="rootfs-has-mounts")
    assert rootfs in error["error"]
    assert mounts.below(Path("/")) == before
    assert counter.id not in box.containers()
    box.fail("run", "--rm", "--rootfs", rootfs, "true", code="rootfs-has-mounts")


def test_a_container_of_another_root_is_not_touched(
    make_box: Callable[[], Box], runtime: str, tree: Path, tmp_path: Path
) -> None:
    """An archive brings its ID along, and the runtimes' state and the cgroups are the host's."""
    first, second = make_box(), make_box()
    first.runtime = second.runtime = runtime
    counter = start_counter(first, tree)
    archive = tmp_path / "c.tar.zst"
    first.run("checkpoint", "-R", "-e", archive, "c")
    error = second.fail("restore", "-i", archive, code="id-taken")
    assert counter.id in error["error"]
    assert "--name" in error["hint"]
    assert second.containers() == []
    counter.moves()
    second.runtime = next(other for other in RUNTIMES if other != runtime)
    others = podmans(archive, tmp_path / "other.tar", settings(runtime=second.runtime))
    second.fail("restore", "-i", others, code="id-taken")
    counter.moves()


def test_what_is_torn_down_is_our_own(make_box: Callable[[], Box], runtime: str, tree: Path) -> None:
    """A record of the same ID in another root, as it is left if the other one came a moment later."""
    first, second = make_box(), make_box()
    first.runtime = second.runtime = runtime
    counter = start_counter(first, tree)
    with closing(Database(first.root / "state.sqlite")) as one, closing(Database(second.root / "state.sqlite")) as two:
        two.add(Container(one.get(counter.id).config, ContainerState()), "create")
    second.run("rm", "-f", "c")
    counter.moves()
    assert first.state("c") == "running"


def test_killed_after_the_container_came_back(box: Box, tree: Path) -> None:
    """Its files move on from then on: it is found running, and its checkpoint is used up."""
    counter = start_counter(box, tree)
    box.run("checkpoint", "c")
    with killed_when_it_answers(box):
        assert box.call("restore", "c").returncode == -9
    reached = counter.moves()
    assert [operation.stage for operation in operations(box)] == [Stage.RESTORING]
    assert box.run("exec", "c", "true") == ""
    assert box.state("c") == "running"
    counter.moves(above=reached)
    assert operations(box) == []
    assert not (counter.bundle / "checkpoint").exists()
    box.run("rm", "-f", "-t", "0", "c")


def test_a_signal_after_the_container_came_back(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    with killed_when_it_answers(box, "SIGTERM"):
        box.call("restore", "c")
    counter.moves()
    assert operations(box) == []
    assert box.state("c") == "running"


@contextmanager
def killed_when_it_answers(box: Box, name: str = "SIGKILL") -> Iterator[None]:
    """By conmon's answer, the one message over a socket of its kind that a restore without a terminal receives."""
    box.prefix = ("strace", "-qq", "-o", "/dev/null", "-e", "trace=recvfrom", "-e", f"inject=recvfrom:signal={name}")
    try:
        yield
    finally:
        box.prefix = ()
