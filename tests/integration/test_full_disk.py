"""A disk that is full to the last block: what can be looked at, what can be removed, and what is said."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pyodcr.linux import mounts
from tests.support.box import Box

pytestmark = pytest.mark.root


@pytest.fixture
def small_box(one_box: Box) -> Iterator[Box]:
    """A root on a filesystem of its own, with room for the reserve."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        mounts.mount("small", Path(place), "tmpfs", options="size=24m,mode=0700")
        try:
            box = replace(one_box, root=Path(place, "root"))
            yield box
            box.clean()
        finally:
            mounts.unmount_below(Path(place))


def fill(box: Box) -> Path:
    """Write until not one byte more can be written."""
    filler = box.root / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as sink:
        while sink.write(b"x" * 4096):
            pass
    return filler


def test_on_a_full_disk_one_can_look_and_remove(small_box: Box, tree: Path) -> None:
    create = ("create", "--network", "none", "--rootfs", f"{tree}:O", "true")
    for name in ("one", "two"):
        small_box.run(*create[:1], "--name", name, *create[1:])
    assert (small_box.root / "reserve").stat().st_blocks * 512 >= 1 << 20
    fill(small_box)
    small_box.run("rm", "one")  # the reserve is given up
    filler = fill(small_box)
    assert small_box.run("ps", "-a", "--format", "{{.Names}}") == "two"
    error = small_box.fail(*create, code="no-space")
    assert error["hint"]
    assert small_box.run("ps", "-a", "--format", "{{.Names}}") == "two"
    filler.unlink()
    small_box.run("rm", "two")
    assert (small_box.root / "reserve").exists(), "it is there again for the next time"
