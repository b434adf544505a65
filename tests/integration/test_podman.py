"""Archives go to Podman and come back: its own program restores ours, and we restore its."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box, wait_for

pytestmark = pytest.mark.root

IMAGE = "localhost/busybox:latest"


def podman(*words: str | Path) -> str:
    done = subprocess.run(["podman", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"podman {' '.join(map(str, words))}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def podmans_image(tarball: Path) -> Iterator[str]:
    """Its ID. Made before any box, since Podman's storage stays mounted."""
    identity = podman("import", "--quiet", tarball, IMAGE).removeprefix("sha256:")
    podman("run", "--rm", IMAGE, "true")  # makes /run/netns a mount, which stays too
    yield identity
    podman("rmi", "--force", IMAGE)


@pytest.fixture
def podman_on_both(podmans_image: str, box: Box, tarball: Path) -> Iterator[Box]:
    """A box and Podman with the same image."""
    assert box.run("image", "import", tarball, IMAGE).removeprefix("sha256:") == podmans_image
    yield box
    podman("rm", "--all", "--force", "--time", "0")


def count(name: str) -> int:
    return int(podman("exec", name, "cat", "/tmp/n") or "0")


def test_podman_restores_ours_and_we_restore_podmans(podman_on_both: Box) -> None:
    box = podman_on_both
    box.run("run", "-d", "--name", "c", "--network", "none", "--label", "a=b", IMAGE, "sh", "-c", COUNTER)
    reached = box.counts_on("c")
    ours = box.root / "ours.tar.zst"
    box.run("checkpoint", "--export", ours, "c")
    identity = box.inspect("c")["Id"]
    box.run("rm", "c")

    restored = podman("--runtime", box.runtime, "container", "restore", "--import", ours)
    assert restored == identity
    there = wait_for(lambda: (now := count("c")) > reached and now, "Podman's container to count on")
    assert podman("inspect", "--format", '{{index .Config.Labels "a"}}', "c") == "b"
    theirs = box.root / "theirs.tar.zst"
    podman("container", "checkpoint", "--export", theirs, "c")
    podman("rm", "c")

    assert box.run("restore", "--import", theirs) == identity
    box.counts_on("c", above=there)
    assert box.inspect("c")["Config"]["Labels"] == {"a": "b"}
