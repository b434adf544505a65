"""Root filesystems with a past: through a checkpoint, an archive and a restore, ours and Podman's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from pyodcr.linux import mounts
from tests.support.box import COUNTER, Box
from tests.support.histories import (
    CAPABILITY,
    DEVICES,
    History,
    acl,
    append,
    chmod,
    deep,
    exchange,
    histories,
    lchown,
    listen,
    mknod,
    perform,
    punch,
    remake,
    remove_all,
    setxattr,
    utime,
    write,
)
from tests.support.podman import podman
from tests.support.trees import Node, snapshot

pytestmark = pytest.mark.root

IMAGE = "localhost/busybox:latest"
ENGINES = {"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"}

# What the tree of the image has: bin, data, etc/passwd, etc/group, home/app, root, tmp, var
NASTY: History = [
    (remake, "home", "app"),
    (write, "home/app/new", 0, 0, b"made again"),
    (remove_all, "var"),
    (write, "var", 0, 0, b"was a directory"),
    (os.unlink, "etc/group"),
    (os.mkdir, "etc/group"),
    (write, "etc/group/was-a-file", 0, 0, b""),
    (append, "etc/passwd", b"more:x:1:1::/:/bin/sh\n"),
    (os.unlink, "bin/vi"),
    (os.link, "bin/busybox", "bin/again"),
    (chmod, "bin/busybox", 0o4711),
    (os.rename, "root", "never"),  # of a layer: not across devices
    (os.mkdir, "data/d", 0o1777),
    (os.symlink, "x/" * 2000, "data/long"),
    (write, "data/.wh.passwd", 0, 0, b"no whiteout"),
    (write, "data/.wh..wh..opq", 0, 0, b"no mark"),
    (write, "data/\udcff\n=%3D", 0, 0, b"odd"),
    (write, "data/" + "n" * 255, 0, 0, b"long"),
    (write, "data/sparse", 0, 1 << 26, b"end"),
    (write, "data/punched", 0, 0, os.urandom(1 << 20)),
    (punch, "data/punched", 4096, 900_000),
    (os.link, "data/sparse", "data/d/sparse-too"),
    (os.mkfifo, "data/fifo", 0o600),
    (mknod, "data/null", stat.S_IFCHR, 0o666, DEVICES[0]),
    (mknod, "data/disk", stat.S_IFBLK, 0o600, DEVICES[1]),
    (listen, "data/socket"),
    (write, "data/cap", 0, 0, b"\x7fELF"),
    (lchown, "data/cap", 1000, 2**31),
    (setxattr, "data/cap", "security.capability", CAPABILITY),
    (os.link, "data/cap", "data/d/cap-too"),
    (setxattr, "data/cap", "user.bytes", bytes(range(256))),
    (setxattr, "data/d", "system.posix_acl_default", acl(6)),
    (write, "data/d/heir", 0, 0, b""),
    (setxattr, "data/d", "trusted.overlay.opaque", b"y"),
    (chmod, "data/d/heir", 0),
    (exchange, "data/fifo", "data/null"),
    (utime, "etc/passwd", -1),
    (utime, "data/punched", 2**33 * 10**9 + 1),
    (utime, "data", 1_234_567_890_123_456_789),
]


def tree(root: Path) -> dict[str, object]:
    """Without what the engine makes in each container, the counter's file, and the times of /etc, where both write."""
    places = ("dev", "proc", "sys", "run", "tmp")
    found = {
        path: node
        for path, node in snapshot(root).items()
        if path not in ENGINES and path.partition("/")[0] not in places
    }
    etc = found.get("etc")
    return found | ({"etc": etc._replace(mtime_ns=0)} if isinstance(etc, Node) else {})


def without_directories_times(found: dict[str, object]) -> dict[str, object]:
    """Podman removes after it has unpacked; and takes times before 1970 for 1970."""
    return {
        path: node._replace(mtime_ns=0 if node.mode.startswith("d") else max(0, node.mtime_ns))
        if isinstance(node, Node)
        else node
        for path, node in found.items()
    }


def travelled(box: Box, *parts: History) -> tuple[Path, dict[str, object]]:
    """The archive of a container that did ``parts``, and its tree."""
    box.run("run", "-d", "--name", "c", "--network", "none", IMAGE, "sh", "-c", COUNTER)
    box.count("c")
    root = Path(box.run("mount", "c"))
    for part in parts:
        perform(root, part)
    expected = tree(root)
    box.run("umount", "c")
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "--export", archive, "c")
    box.run("rm", "c")
    return archive, expected


def restored(box: Box, archive: Path) -> dict[str, object]:
    box.run("restore", "--import", archive)
    box.counts_on("c")
    found = tree(Path(box.run("mount", "c")))
    box.run("umount", "c")
    box.run("rm", "--force", "--time", "0", "c")
    return found


def test_a_nasty_root_comes_back(box: Box, image: str) -> None:
    unread = (setxattr, "data", "user.=%25", b"no Go program finds it")
    archive, expected = travelled(box, NASTY, [unread, (deep, "data/d", 20)])
    done = {"var", "etc/group/was-a-file", "home/app/new", "data/d/cap-too", "data/null", "data/disk"}
    assert done <= {*expected}
    assert not {"bin/vi", "data/socket"} & {*expected}
    assert restored(box, archive) == expected


@seed(20_261_123)
@settings(
    max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)
@given(history=histories(("data", "etc", "home", "app", "passwd", "var", ".wh.etc", "new"), longest=60))
def test_a_random_root_comes_back(box: Box, image: str, history: History) -> None:
    archive, expected = travelled(box, [part for part in history if "bin" not in part[1:]])
    assert restored(box, archive) == expected


def test_podman_makes_the_same_of_it(box: Box, image: str, tarball: Path) -> None:
    archive, expected = travelled(box, NASTY)
    with podman(box.runtime) as theirs:
        theirs.run("import", "--quiet", tarball, IMAGE)
        theirs.run("container", "restore", "--import", archive)
        found = tree(Path(theirs.run("mount", "c")))
        assert without_directories_times(found) == without_directories_times(expected)


# one open file has another name left, one has none
OPEN_FILES = (
    "cd /data; echo kept > one; ln one two; exec 3< one; rm one; echo ghost > gone; exec 4< gone; rm gone; " + COUNTER
)


@pytest.fixture
def link_remap() -> Iterator[None]:
    """What an administrator may have configured."""
    paths = [Path(f"/etc/criu/{name}.conf") for name in ("runc", "crun")]
    assert not any(path.exists() for path in paths)
    paths[0].parent.mkdir(exist_ok=True)
    for path in paths:
        path.write_text("link-remap\n")
    yield
    for path in paths:
        path.unlink()


def test_open_files_without_names_come_back(box: Box, image: str, link_remap: None) -> None:
    box.run("run", "-d", "--name", "c", "--network", "none", IMAGE, "sh", "-c", OPEN_FILES)
    box.count("c")
    data = Path(box.run("mount", "c"), "data")
    archive = box.root / "c.tar.zst"

    small = box.root / "small"
    small.mkdir()
    mounts.mount("tmpfs", small, "tmpfs", options="size=16k")
    box.fail("checkpoint", "--export", small / "c.tar.zst", "c", code="no-space")
    mounts.unmount(small)
    assert os.listdir(data) == ["two"]
    box.run("checkpoint", "--leave-running", "--export", archive, "c")
    assert os.listdir(data) == ["two"]
    reached = box.counts_on("c")
    box.run("umount", "c")
    box.run("rm", "--force", "--time", "0", "c")

    box.run("restore", "--import", archive)
    assert os.listdir(Path(box.run("mount", "c"), "data")) == ["two"]
    box.run("umount", "c")
    box.run("checkpoint", "--export", archive, "c")
    box.run("rm", "c")
    box.run("restore", "--import", archive)
    box.counts_on("c", above=reached)
    root = Path(f"/proc/{box.inspect('c')['State']['Pid']}")
    assert (root / "fd/3").read_text() == "kept\n"
    assert (root / "fd/3").samefile(root / "root/data/two")
    assert (root / "fd/4").read_text() == "ghost\n"
    assert os.listdir(root / "root/data") == ["two"]
