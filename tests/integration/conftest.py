"""Fixtures for tests with real containers: they run in the test host, as root, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.box import Box, busybox_tree, fresh_box, leaving_nothing

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
    with leaving_nothing(), ExitStack() as boxes:
        yield lambda: boxes.enter_context(fresh_box())


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
