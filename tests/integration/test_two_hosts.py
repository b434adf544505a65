"""Containers that move between two hosts, each with its own root, network, processes and cgroups."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box, files_left, wait_for
from tests.support.hosts import Host, second_host
from tests.support.s3server import serve

pytestmark = pytest.mark.root

with_runc = pytest.mark.parametrize("runtime", ["runc"])
with_crun = pytest.mark.parametrize("runtime", ["crun"])
SERVER = f"mkdir /tmp/www; echo served > /tmp/www/page; httpd -p 8080 -h /tmp/www; {COUNTER}"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with second_host("hostb") as host:
        # it speaks before its own `cat` runs, which no test is to take for something left behind
        wait_for(lambda: "cat" in host.run(["ps", "-e", "-o", "comm="]).stdout.split(), "the other host to be up")
        yield host


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that both hosts see."""
    directory = Path(tempfile.mkdtemp(dir="/shared"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def common(shared: Path, tree: Path) -> Path:
    """A busybox root filesystem at the same path of both hosts."""
    shutil.copytree(tree, shared / "tree", symlinks=True)
    return shared / "tree"


@pytest.fixture
def a(make_box: Callable[[], Box], runtime: str, host: Host, shared: Path) -> Box:
    """Here; what it leaves behind is looked for after the other host's containers are gone."""
    made = make_box()
    made.runtime = runtime
    return made


@pytest.fixture
def b(host: Host, a: Box) -> Iterator[Box]:
    """The other host's pyodcr, which has never heard of ours."""
    root = Path(host.run(["mktemp", "-d", "/var/lib/pyodcr/box-XXXXXX"]).stdout.strip())
    runroot = Path(host.run(["mktemp", "-d", "/run/box-XXXXXX"]).stdout.strip())
    box = Box(root, runroot, runtime=a.runtime, prefix=tuple(host.argv([])))
    yield box
    seen = Box(host.path(root), host.path(runroot))
    box.clean()
    assert box.containers() == []
    wait_for(lambda: not files_left(seen), "the other host's files to be removed", 5.0)
    host.run(["rm", "-rf", root, runroot])


def start(box: Box, tree: Path, *options: str, script: str = COUNTER) -> str:
    network = () if options else ("--network", "none")
    identity = box.run("run", "-d", "--name", "c", *network, *options, "--rootfs", f"{tree}:O", "sh", "-c", script)
    box.count("c")
    return identity


def test_there_and_back_again(a: Box, b: Box, common: Path, shared: Path) -> None:
    """The same container on one host after the other: whoever has it last goes on where the other stopped."""
    identity = start(a, common)
    reached = 0
    for number, (source, target) in enumerate(((a, b), (b, a))):
        archive = shared / f"{number}.tar.zst"
        reached = source.counts_on("c", above=reached)
        source.run("checkpoint", "-e", archive, "c")
        assert target.run("restore", "-i", archive) == identity
        reached = target.counts_on("c", above=reached)
        assert source.state("c") == "exited"
        source.run("rm", "c")
        assert (source.containers(), target.containers()) == ([], [identity])


def test_a_published_server_answers_where_it_went(a: Box, b: Box, common: Path, shared: Path, host: Host) -> None:
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    start(a, common, "-p", f"{port}:8080", script=SERVER)
    assert fetch(host.near_address, port) == b"served\n"
    archive = shared / "c.tar.zst"
    a.run("checkpoint", "-e", archive, "c")
    with pytest.raises(OSError, match="refused"):
        fetch(host.address, port)
    b.run("restore", "-i", archive)
    assert fetch(host.address, port) == b"served\n"
    with pytest.raises(OSError, match="refused"):
        fetch(host.near_address, port)


def fetch(address: str, port: int) -> bytes:
    with urllib.request.urlopen(f"http://{address}:{port}/page", timeout=10) as page:
        return bytes(page.read())


@with_runc
def test_through_a_pipe(a: Box, b: Box, common: Path) -> None:
    identity = start(a, common)
    reached = a.counts_on("c")
    with a.popen("checkpoint", "-e", "-", "c", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source:
        with b.popen("restore", "-i", "-", stdin=source.stdout, stdout=subprocess.PIPE) as target:
            assert source.stdout is not None
            source.stdout.close()  # the reader is the other host alone
            restored, _ = target.communicate(timeout=60)
        _, said = source.communicate(timeout=60)
    assert (source.returncode, target.returncode) == (0, 0), said
    assert restored.decode().strip() == identity
    b.counts_on("c", above=reached)
    found = a.inspect("c")["State"]
    assert (found["Status"], found["Checkpointed"]) == ("exited", True)


@with_crun
def test_through_a_bucket(a: Box, b: Box, common: Path, host: Host, tmp_path: Path) -> None:
    start(a, common)
    reached = a.counts_on("c")
    with serve(tmp_path, host.near_address) as server:
        server.make_bucket("archives")
        a.env |= server.environment()
        b.env |= server.environment()
        a.run("checkpoint", "-e", "s3://archives/c.tar.zst", "c")
        a.run("rm", "c")
        b.run("restore", "-i", "s3://archives/c.tar.zst")
    b.counts_on("c", above=reached)


@with_crun
def test_a_copy_runs_beside_the_original(a: Box, b: Box, common: Path, shared: Path) -> None:
    """With the name and the ID of the original, as they are on different hosts."""
    identity = start(a, common)
    reached = a.counts_on("c")
    archive = shared / "c.tar.zst"
    a.run("checkpoint", "--leave-running", "-e", archive, "c")
    assert b.run("restore", "-i", archive) == identity
    b.counts_on("c", above=reached)
    b.run("rm", "-f", "-t", "0", "c")
    a.counts_on("c", above=reached)
