"""Fixtures for tests with real containers: they run in the test host, as root, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.box import Box, busybox_tree, files_left, leaving_nothing, wait_for

RUNTIMES = ("runc", "crun")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root") and "tests/integration" in str(item.path):
                raise pytest.UsageError("tests with real containers need root and the test host: run `make test`")


@pytest.fixture(scope="session")
def tree() -> Iterator[Path]:
    """A busybox root filesystem, to be used read-only."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="tree-"))
    directory.chmod(0o755)
    yield busybox_tree(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def tarball(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a tarball, for `image import`."""
    import subprocess

    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    subprocess.run(["tar", "-C", str(tree), "-cf", str(path), "."], check=True)
    return path


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_box() -> Iterator[Callable[[], Box]]:
    """Makes roots; afterwards no container, process, mount, cgroup, interface, rule or file of theirs may be left."""
    with leaving_nothing():
        boxes: list[Box] = []

        def make() -> Box:
            root = Path(tempfile.mkdtemp(dir="/var/lib/pyodcr", prefix="box-"))
            runroot = Path(tempfile.mkdtemp(dir="/run", prefix="box-"))
            boxes.append(Box(root, runroot))
            return boxes[-1]

        yield make
        for box in boxes:
            box.clean()
        left = [name for box in boxes for name in _left(box)]
        for box in boxes:
            shutil.rmtree(box.root, ignore_errors=True)
            shutil.rmtree(box.runroot, ignore_errors=True)
        assert not left, f"left behind: {left}"


def _left(box: Box) -> list[str]:
    wait_for(lambda: not box.containers(), "containers to be removed")
    try:
        wait_for(lambda: not files_left(box), "files to be removed", 5.0)
    except AssertionError:
        return files_left(box)
    return []


@pytest.fixture
def box(make_box: Callable[[], Box], runtime: str) -> Box:
    """A root for each runtime in turn."""
    made = make_box()
    made.runtime = runtime
    return made


@pytest.fixture
def one_box(make_box: Callable[[], Box]) -> Box:
    """A root with the default runtime: for what no runtime has a part in."""
    return make_box()


@pytest.fixture
def image(box: Box, tarball: Path) -> str:
    """The busybox image in ``box``."""
    box.run("image", "import", tarball, "localhost/busybox:latest")
    return "localhost/busybox:latest"
