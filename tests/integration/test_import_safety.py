"""What an archive may do to the host that imports it, and to the containers that are there already."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.models import Container, ContainerState, Status
from pyodcr.lifecycle.operations import Stage
from pyodcr.linux import mounts
from tests.integration.conftest import RUNTIMES
from tests.support.archives import Entries, edit, podmans, settings
from tests.support.box import COUNTER, Box, wait_for
from tests.support.checkpoints import operations, start_counter, whole_box
from tests.support.ociimages import OciImage, file, layer
from tests.support.registry import registry

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


def bind(options: Sequence[str] = ("rbind", "rw")) -> Callable[[Entries], None]:
    mount = {"destination": "/stolen", "type": "bind", "source": "/etc", "options": list(options)}
    return edit("spec.dump", lambda spec: spec["mounts"].append(mount))


def host_namespace(kind: str) -> Callable[[Entries], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != kind]

    return edit("spec.dump", change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (settings(rootfs="/etc", rootfs_overlay=True), "/etc of this host for its root filesystem"),
        (bind(), "/etc of this host mounted on /stolen"),
        (bind(("rbind", "ro", "rshared")), "/etc of this host mounted on /stolen"),
        (settings(overlayVolumes=[{"dest": "/stolen", "source": "/root"}]), "/root of this host mounted on /stolen"),
        (host_namespace("pid"), "the pid namespace of this host"),
        (host_namespace("ipc"), "the ipc namespace of this host"),
        (host_namespace("uts"), "the uts namespace of this host"),
        (settings(privileged=True), "is privileged"),
    ],
    ids=["rootfs", "bind", "shared-bind", "overlay", "pid", "ipc", "uts", "privileged"],
)
def test_what_reaches_out_is_refused(
    quiet: Box, image_archive: Path, tmp_path: Path, change: Callable[[Entries], None], says: str
) -> None:
    hostile = podmans(image_archive, tmp_path / "hostile.tar", change)
    error = quiet.fail("restore", "-i", hostile, code="archive-reaches-out")
    assert says in error["error"]
    assert "--trust" in error["hint"]
    assert quiet.containers() == []


def test_what_reaches_out_is_told_before_it_runs(box: Box, tarball: Path, tmp_path: Path) -> None:
    """And what reaches nowhere needs no trust."""
    box.trusting = False
    box.run("image", "import", tarball, "localhost/busybox:latest")
    shared = box.root / "shared"
    shared.mkdir()
    words = ("run", "-d", "--name", "c", "--network", "none")
    box.run(*words, "-v", f"{shared}:/data", "localhost/busybox:latest", "sh", "-c", COUNTER)
    box.count("c")
    archive = tmp_path / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.fail("restore", "-i", archive, code="archive-reaches-out")
    done = box.call("restore", "--trust", "-i", archive)
    assert done.returncode == 0, done.stderr
    assert f"warning: the container has {shared} of this host mounted on /data" in done.stderr.decode()
    box.counts_on("c")


def test_trust_is_for_imports(one_box: Box) -> None:
    error = one_box.fail("restore", "--trust", "c", code="usage")
    assert "--trust can only be used with --import" in error["error"]


@pytest.fixture(scope="module")
def quiet(tarball: Path) -> Iterator[Box]:
    """A host that trusts no archive, with the image that they are made from."""
    with whole_box() as box:
        box.trusting = False
        box.run("image", "import", tarball, "localhost/busybox:latest")
        yield box


@pytest.fixture(scope="module")
def image_archive(quiet: Box, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a container made from the image; it can be restored without trust, and is."""
    path = tmp_path_factory.mktemp("archive") / "c.tar.zst"
    words = ("run", "-d", "--name", "c", "--network", "none", "localhost/busybox:latest")
    quiet.run(*words, "sh", "-c", COUNTER)
    quiet.count("c")
    quiet.run("checkpoint", "-e", path, "c")
    quiet.run("rm", "c")
    quiet.run("restore", "-i", path)
    quiet.run("rm", "-f", "-t", "0", "c")
    return path


def test_two_imports_at_once_do_not_share_a_volume(quiet: Box, tmp_path: Path) -> None:
    box, archive = quiet, tmp_path / "c.tar.zst"
    words = ("run", "-d", "--name", "c", "--network", "none", "-v", "store:/data", "localhost/busybox:latest")
    box.run(*words, "sh", "-c", COUNTER.replace("/tmp/n", "/data/n") + " & wait")
    wait_for(lambda: (box.root / "volumes/store/_data/n").exists(), "the volume to be written")
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("volume", "rm", "store")
    names = ("one", "two")
    started = [box.popen("restore", "-i", archive, "-n", name, stderr=subprocess.PIPE) for name in names]
    ended = {
        name: (command.communicate(timeout=60)[1], command.returncode)
        for name, command in zip(names, started, strict=True)
    }
    assert sorted(status for _, status in ended.values()) == [0, 125], ended
    (winner,) = (name for name, (_, status) in ended.items() if status == 0)
    assert "volume with name store already exists" in str(ended)
    assert box.run("ps", "-a", "--format", "{{.Names}}") == winner
    first = (box.root / "volumes/store/_data/n").read_text()
    wait_for(lambda: (box.root / "volumes/store/_data/n").read_text() not in ("", first), "it to count on")
    box.run("rm", "-f", "-t", "0", winner)
    box.run("volume", "rm", "store")


def test_a_stop_signal_that_cannot_be_sent_saves_nobody(box: Box, tree: Path) -> None:
    """As an older release may have imported one."""
    counter = start_counter(box, tree)
    with closing(Database(box.root / "state.sqlite")) as database:
        found = database.get(counter.id)
        database.reconfigure(found, replace(found.config, stop_signal=9999))
    box.run("stop", "c")
    assert box.state("c") == "exited"


def test_the_namespace_of_another_process_is_not_joined(box: Box, tree: Path) -> None:
    """The pid of a container that died unseen may belong to anybody; here it is this test's own."""
    words = ("--rootfs", f"{tree}:O", "true")
    first = box.run("create", "--name", "a", "--network", "none", *words)
    box.run("create", "--name", "b", "--network", "container:a", *words)
    with closing(Database(box.root / "state.sqlite")) as database:
        database.record(database.get(first), status=Status.RUNNING, pid=os.getpid(), pid_started=1)
    box.fail("start", "b", code="dependency-not-running")
    box.run("rm", "b")


@pytest.mark.parametrize("transport", ["oci-archive:/etc/passwd", "dir:/etc", "docker-archive:/etc/passwd"])
def test_an_image_comes_from_a_registry_or_not_at_all(
    quiet: Box, image_archive: Path, tmp_path: Path, transport: str
) -> None:
    change = settings(rootfsImageID="0" * 64, rootfsImageName=transport)
    hostile = podmans(image_archive, tmp_path / "hostile.tar", change)
    quiet.fail("restore", "-i", hostile, code="invalid-reference")


def test_another_image_of_that_name_does_not_stay(
    quiet: Box, image_archive: Path, tmp_path: Path, insecure: Callable[[str], None]
) -> None:
    with registry() as hub:
        insecure(hub.address)
        hub.push("x", "1", OciImage([layer(file("x", b"x"))]))
        change = settings(rootfsImageID="0" * 64, rootfsImageName=f"{hub.address}/x:1")
        hostile = podmans(image_archive, tmp_path / "hostile.tar", change)
        before = quiet.run("image", "ls", "-q", "--no-trunc")
        error = quiet.fail("restore", "-i", hostile, code="image-differs")
        assert hub.address in error["error"]
    assert quiet.run("image", "ls", "-q", "--no-trunc") == before


@pytest.fixture
def insecure() -> Iterator[Callable[[str], None]]:
    """Lets this host speak HTTP with a registry."""
    place = Path("/etc/containers/registries.conf.d/insecure.conf")
    place.parent.mkdir(parents=True, exist_ok=True)

    def trust(address: str) -> None:
        place.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')

    yield trust
    place.unlink()
