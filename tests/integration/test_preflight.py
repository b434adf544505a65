"""A checkpoint that must fail is refused before the container is touched: real containers, both runtimes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box, wait_for

pytestmark = pytest.mark.root

# a connection of the container with itself, that lasts
TALKING = f"""
mkfifo /tmp/pipe && exec 3<> /tmp/pipe
nc -l -p 9000 < /tmp/pipe > /dev/null &
until grep -q ':2328 ' /proc/net/tcp /proc/net/tcp6; do usleep 10000; done
nc 127.0.0.1 9000 < /tmp/pipe > /dev/null &
until grep -q ':2328 01 ' /proc/net/tcp; do usleep 10000; done
{COUNTER}
"""
FLOCK = "/usr/bin/flock"
LOCKING = f"exec 3> /tmp/locked; {FLOCK} 3; {COUNTER}"


@pytest.fixture
def tree(tree: Path, tmp_path: Path) -> Path:
    """The busybox tree with flock(1), which busybox has not, and the libraries it needs."""
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy, symlinks=True)
    needed = subprocess.run(["ldd", FLOCK], capture_output=True, text=True, check=True).stdout
    for path in [FLOCK, *re.findall(r"/\S+", needed)]:
        place = copy / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return copy


def start(box: Box, tree: Path, script: str) -> None:
    box.run("run", "-d", "--name", "c", "--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", script)
    wait_for(lambda: box.call("exec", "c", "cat", "/tmp/n").stdout.strip(), "the script to count")


@pytest.mark.parametrize(
    ("script", "code", "says", "option"),
    [
        (TALKING, "criu-tcp-established", "has the TCP connection 127.0.0.1:", "--tcp-established"),
        (LOCKING, "criu-file-locks", "holds a lock on /tmp/locked", "--file-locks"),
    ],
    ids=["connection", "lock"],
)
def test_what_needs_an_option_is_refused_without_it(
    box: Box, tree: Path, script: str, code: str, says: str, option: str
) -> None:
    start(box, tree, script)
    error = box.fail("checkpoint", "c", code=code)
    assert says in error["error"]
    assert option in error["hint"]
    assert not list(box.root.glob("**/dump.log")), "CRIU was not even started"
    box.counts_on("c")
    box.run("checkpoint", "--leave-running", option, "c")
    box.counts_on("c")


def test_a_runtime_without_our_hook_is_refused(box: Box, tree: Path, tmp_path: Path) -> None:
    """What runs the container says it is a crun too old to take the hook: CRIU would kill the container unsaved."""
    start(box, tree, COUNTER)
    memory = box.runroot / "runtimes.json"
    known = memory.read_text()
    aged = known.replace('"program":"runc"', '"program":"crun"').replace('"version":"1.', '"version":"0.')
    assert aged != known
    memory.write_text(aged)
    error = box.fail("checkpoint", "c", code="runtime-cannot-checkpoint")
    assert "org.criu.config" in error["error"]
    memory.write_text(known)
    box.counts_on("c")
    box.run("checkpoint", "c")
