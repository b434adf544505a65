"""Archives on a host that is not ready for them, or that ought not to trust them; and Podman's."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import RUNTIMES
from tests.support.archives import Entries, edit, podmans, settings, unpacked
from tests.support.box import COUNTER, Box, files_left, wait_for
from tests.support.checkpoints import (
    Counter,
    administrators_script,
    assert_undisturbed,
    operations,
    start_counter,
    whole_box,
)
from tests.support.podman import podman

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def archive(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a counter that is gone; its root filesystem is still there."""
    path = tmp_path_factory.mktemp("archive") / "c.tar.zst"
    with whole_box() as box:
        start_counter(box, tree)
        box.run("checkpoint", "-e", path, "c")
    return path


@pytest.fixture(scope="module")
def empty() -> Iterator[Box]:
    with whole_box() as box:
        yield box


@pytest.fixture
def guest(empty: Box, archive: Path) -> Iterator[Box]:
    """A host that refuses what it is given: it stays empty, and so does the archive stay what it is."""
    content = archive.read_bytes()
    yield empty
    assert empty.containers() == []
    assert operations(empty) == []
    assert files_left(empty) == []
    assert empty.run("volume", "ls", "-q") == ""
    assert archive.read_bytes() == content


# --- damaged ------------------------------------------------------------------------------------


def test_cut_short_anywhere(guest: Box, archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    for size in (0, 1, 100, len(whole) // 3, len(whole) - 2000, len(whole) - 20, len(whole) - 1):
        part = tmp_path / "part"
        part.write_bytes(whole[:size])
        error = guest.fail("restore", "-i", part, code="archive-truncated")
        assert "cut short" in error["error"]
    guest.fail("restore", "-i", "-", code="archive-truncated", stdin=whole[: len(whole) // 2])


def test_a_flipped_bit_anywhere(guest: Box, archive: Path, tmp_path: Path) -> None:
    choice = random.Random(20261123)
    for _ in range(6):
        content = bytearray(archive.read_bytes())
        place = choice.randrange(len(content))
        content[place] ^= 1 << choice.randrange(8)
        damaged = tmp_path / "damaged"
        damaged.write_bytes(content)
        error = guest.fail("restore", "-i", damaged)
        assert error["code"].startswith("archive-"), f"bit in byte {place}: {error}"


def test_an_entry_that_was_changed(guest: Box, archive: Path, tmp_path: Path) -> None:
    """pyodcr.json is left as it was; everything else is whole, and well compressed."""
    plain = bytearray(subprocess.run(["zstd", "-dc", archive], capture_output=True, check=True).stdout)
    place = plain.index(b'"createdTime"')
    plain[place : place + 13] = b'"createdTimf"'
    changed = tmp_path / "changed.tar"
    changed.write_bytes(plain)
    subprocess.run(["zstd", "-q", changed], check=True)
    for path in (changed, changed.with_suffix(".tar.zst")):
        error = guest.fail("restore", "-i", path, code="archive-tampered")
        assert "config.dump" in error["error"]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("#!/bin/sh\necho no archive\n" * 50),
        lambda path: path.write_bytes(random.Random(7).randbytes(5000)),
        lambda path: subprocess.run(["tar", "-C", "/etc", "-cf", path, "passwd", "group"], check=True),
        lambda path: path.mkdir(),
        lambda path: None,
    ],
    ids=["text", "noise", "another-tar", "directory", "missing"],
)
def test_no_archive_at_all(guest: Box, tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "thing")
    error = guest.fail("restore", "-i", tmp_path / "thing")
    assert error["code"] in ("archive-foreign", "destination-failed", "destination-not-found"), error


# --- hostile ------------------------------------------------------------------------------------


def add(name: str) -> Callable[[Entries], None]:
    return lambda entries: entries.update({name: b"#!/bin/sh\n"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (add("../escaped"), "'..'"),
        (add("checkpoint/../../escaped"), "'..'"),
        (add("/etc/cron.d/escaped"), "absolute"),
        (add("volumes/../escaped.tar"), "'..'"),
        (settings(id="../../../escaped"), "../../../escaped"),
        (settings(id=""), "''"),
        (settings(name="../escaped"), "../escaped"),
        (settings(namedVolumes=[{"volumeName": "../../escaped", "dest": "/data"}]), "../../escaped"),
        (settings(MountLabel='x",lowerdir=/,upperdir=/etc,context="y'), "lowerdir"),
        (settings(timezone="../../../etc/shadow"), "shadow"),
        (settings(umask="0o7"), "umask"),
        (settings(rootfs=""), "image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words_that_would_reach_out_of_the_container(
    guest: Box, archive: Path, tmp_path: Path, change: Callable[[Entries], None], says: str
) -> None:
    hostile = podmans(archive, tmp_path / "hostile.tar", change)
    error = guest.fail("restore", "-i", hostile, code="archive-hostile")
    assert says in error["error"]
    for place in (guest.root.parent, guest.root, guest.runroot, tmp_path, Path("/etc/cron.d")):
        assert not list(place.glob("escaped*"))


def test_a_program_for_a_runtime(guest: Box, archive: Path, tmp_path: Path) -> None:
    program = tmp_path / "runc"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    program.chmod(0o700)
    for name in (str(program), "touch"):
        hostile = podmans(archive, tmp_path / "hostile.tar", settings(runtime=name))
        guest.fail("restore", "-i", hostile, code="runtime-unknown")
    assert not (tmp_path / "executed").exists()


def test_hooks_and_configuration_are_left_out(one_box: Box, archive: Path, tmp_path: Path) -> None:
    """They are programs that root would run; what was left out is told, and the rest goes on."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    script.chmod(0o700)
    configuration = tmp_path / "criu.conf"
    configuration.write_text(f"action-script {script}\n")

    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {kind: [{"path": str(script)}] for kind in ("prestart", "createRuntime", "poststart")}
        spec["annotations"]["org.criu.config"] = str(configuration)
        spec["annotations"]["run.oci.hooks.stdout"] = "/dev/stdout"

    hostile = podmans(archive, tmp_path / "hostile.tar", edit("spec.dump", change))
    done = one_box.call("restore", "-i", hostile)
    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    for part in ("hooks", "annotation org.criu.config", "annotation run.oci.hooks.stdout"):
        assert f"left out of the archive's spec: {part}" in said
    Counter(one_box, "c", done.stdout.decode().strip()).moves()
    assert not (tmp_path / "executed").exists()


def test_documents_that_are_none(guest: Box, archive: Path, tmp_path: Path) -> None:
    for name, content, code in (
        ("config.dump", b"[1]", "archive-foreign"),
        ("config.dump", b'{"id": 5}', "archive-foreign"),
        ("spec.dump", b"{", "archive-foreign"),
        ("spec.dump", b"{}", "archive-invalid"),
        ("network.status", b"[]", "archive-invalid"),
        ("deleted.files", b'{"a": 1}', "archive-invalid"),
        ("deleted.files", b"[1]", "archive-invalid"),
        ("rootfs-diff.tar", b"x" * 3000, "archive-invalid"),
        ("checkpoint/inventory.img", None, "archive-incomplete"),
    ):

        def change(entries: Entries, name: str = name, content: bytes | None = content) -> None:
            if content is None:
                del entries[name]
            else:
                entries[name] = content

        error = guest.fail("restore", "-i", podmans(archive, tmp_path / "odd.tar", change))
        assert error["code"] == code, (name, error)


# --- a host that is not ready -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """A container that was taken off its host."""

    box: Box
    archive: Path
    id: str


def take_off(box: Box, *words: str | Path) -> Moved:
    identity = box.run("run", "-d", "--name", "c", *words, "sh", "-c", COUNTER)
    Counter(box, "c", identity).reading()
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    return Moved(box, archive, identity)


def test_the_image_is_gone(one_box: Box, tarball: Path) -> None:
    one_box.run("image", "import", tarball, "localhost/busybox:latest")
    moved = take_off(one_box, "--network", "none", "localhost/busybox:latest")
    one_box.run("image", "rm", "localhost/busybox:latest")
    error = one_box.fail("restore", "-i", moved.archive)
    assert "localhost/busybox:latest" in error["error"]
    assert one_box.containers() == []
    subprocess.run(["tar", "-C", tarball.parent, "-rf", tarball.with_name("other.tar"), "busybox.tar"], check=True)
    one_box.run("image", "import", tarball.with_name("other.tar"), "localhost/busybox:latest")
    error = one_box.fail("restore", "-i", moved.archive, code="image-differs")
    assert "localhost/busybox:latest" in error["error"]


def test_the_root_filesystem_is_gone(one_box: Box, tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy, symlinks=True)
    moved = take_off(one_box, "--network", "none", "--rootfs", f"{copy}:O")
    copy.rename(tmp_path / "elsewhere")
    error = one_box.fail("restore", "-i", moved.archive, code="no-rootfs")
    assert str(copy) in error["error"]
    (tmp_path / "elsewhere").rename(copy)
    one_box.run("restore", "-i", moved.archive)
    Counter(one_box, "c", moved.id).moves()


def test_name_or_id_are_taken(one_box: Box, tree: Path, tmp_path: Path) -> None:
    """Twice the same container: the one that is there goes on, whatever is tried."""
    counter = start_counter(one_box, tree)
    archive = tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-R", "-e", archive, "c")
    error = one_box.fail("restore", "-i", archive, code="name-taken")
    assert '"c" is already in use' in error["error"]
    renamed = podmans(archive, tmp_path / "renamed.tar", settings(name="d"))
    error = one_box.fail("restore", "-i", renamed, code="id-taken")
    assert counter.id in error["error"]
    one_box.fail("restore", "-i", archive, "-n", "c", code="name-taken")
    assert one_box.containers() == [counter.id]
    counter.moves()
    assert_undisturbed(counter)


def test_a_port_is_busy(one_box: Box, tarball: Path) -> None:
    one_box.run("image", "import", tarball, "localhost/busybox:latest")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.close()
        moved = take_off(one_box, "-p", f"127.0.0.1:{port}:80", "localhost/busybox:latest")
    with socket.create_server(("127.0.0.1", port)):
        error = one_box.fail("restore", "-i", moved.archive, code="port-in-use")
        assert f"127.0.0.1:{port}" in error["error"]
        assert one_box.containers() == []
        one_box.run("restore", "-i", moved.archive, "-p", "127.0.0.1::81")
    Counter(one_box, "c", moved.id).moves()
    (published,) = one_box.run("inspect", "--format", "{{json .NetworkSettings.Ports}}", "c").splitlines()
    assert list(json.loads(published)) == ["81/tcp"], "-p replaces all ports"


def test_what_was_mounted_is_missing(one_box: Box, tree: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    moved = take_off(one_box, "--network", "none", "-v", f"{source}:/data", "--rootfs", f"{tree}:O")
    source.rmdir()
    error = one_box.fail("restore", "-i", moved.archive, code="bind-source-missing")
    assert f"{source}, which the container has mounted on /data" in error["error"]
    source.mkdir()
    (source / "note").write_text("of this host")
    done = one_box.call("restore", "-i", moved.archive)
    assert f"{source} of this host mounted on /data" in done.stderr.decode(), "it is said what it may touch"
    assert one_box.run("exec", "c", "cat", "/data/note") == "of this host"


def test_the_network_is_missing(one_box: Box, tree: Path) -> None:
    one_box.run("network", "create", "--subnet", "10.61.0.0/24", "back")
    moved = take_off(one_box, "--network", "back", "--ip", "10.61.0.9", "--rootfs", f"{tree}:O")
    one_box.run("network", "rm", "back")
    error = one_box.fail("restore", "-i", moved.archive)
    assert "network with name or ID back" in error["error"]
    one_box.run("network", "create", "--subnet", "10.61.0.0/24", "back")
    one_box.run("restore", "-i", moved.archive)
    assert one_box.inspect("c")["NetworkSettings"]["Networks"]["back"]["IPAddress"] == "10.61.0.9"
    one_box.run("rm", "-f", "-t", "0", "c")
    one_box.run("network", "rm", "back")


def test_static_addresses_are_kept_or_given_up(one_box: Box, tree: Path) -> None:
    """For good: also a later start takes no heed of what was ignored."""
    one_box.run("network", "create", "--subnet", "10.62.0.0/24", "back")
    fixed = ("--ip", "10.62.0.9", "--mac-address", "92:d0:c6:0a:29:33")
    moved = take_off(one_box, "--network", "back", *fixed, "--rootfs", f"{tree}:O")

    def addresses() -> tuple[str, str]:
        found = one_box.inspect("c")["NetworkSettings"]["Networks"]["back"]
        return found["IPAddress"], found["MacAddress"]

    one_box.run("restore", "-i", moved.archive)
    assert addresses() == ("10.62.0.9", "92:d0:c6:0a:29:33")
    one_box.run("checkpoint", "c")
    one_box.run("restore", "--ignore-static-ip", "c")
    given, mac = addresses()
    assert given != "10.62.0.9"
    assert mac == "92:d0:c6:0a:29:33"
    one_box.run("restart", "-t", "0", "c")
    assert addresses() != ("10.62.0.9", mac)
    one_box.run("rm", "-f", "-t", "0", "c")
    one_box.run("restore", "-i", moved.archive, "--ignore-static-ip", "--ignore-static-mac")
    ip, mac = addresses()
    assert ip != "10.62.0.9"
    assert mac != "92:d0:c6:0a:29:33"
    copy = one_box.run("restore", "-i", moved.archive, "--name", "copy")
    Counter(one_box, "copy", copy).moves()
    assert one_box.inspect("copy")["NetworkSettings"]["Networks"]["back"]["IPAddress"] == "10.62.0.9"
    one_box.run("rm", "-f", "-t", "0", "c", "copy")
    one_box.run("network", "rm", "back")


def test_volumes_that_are_there(one_box: Box, tree: Path) -> None:
    moved = take_off(one_box, "--network", "none", "-v", "store:/data", "-v", "store:/root", "--rootfs", f"{tree}:O")
    content = one_box.root / "volumes/store/_data"
    (content / "note").write_text("of this host")
    error = one_box.fail("restore", "-i", moved.archive, code="volume-exists")
    assert "Use --ignore-volumes" in error["error"]
    one_box.run("restore", "-i", moved.archive, "--ignore-volumes")
    assert one_box.run("exec", "c", "cat", "/data/note") == "of this host"
    one_box.run("rm", "-f", "-t", "0", "c")
    one_box.run("volume", "rm", "store")
    one_box.run("restore", "-i", moved.archive)
    assert list(content.iterdir()) == []
    one_box.run("rm", "-f", "-t", "0", "c")
    one_box.run("volume", "rm", "store")


def test_another_runtime_is_refused(one_box: Box, tree: Path, archive: Path) -> None:
    made_by = json.loads(unpacked(archive)["config.dump"] or b"")["runtime"]
    one_box.runtime = next(name for name in RUNTIMES if name != made_by)
    error = one_box.fail("restore", "-i", archive, code="usage")
    assert error["error"] == (
        f"checkpoint archive was created with runtime '{made_by}' and cannot be restored "
        f"with runtime '{one_box.runtime}'"
    )
    one_box.runtime = str(shutil.which(made_by))
    Counter(one_box, "c", one_box.run("restore", "-i", archive)).moves()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-i", "x", "-n", "d", "--tcp-established"), "--tcp-established cannot be used with --name"),
        (("-i", "x", "c"), "cannot use --import with positional arguments"),
        (("-i", "x", "-a"), "cannot use --import with --all"),
        (("-n", "d", "c"), "--name can only be used with --import"),
        (("-p", "80", "c"), "--publish can only be used with --import"),
        (("--ignore-rootfs", "c"), "--ignore-rootfs can only be used with --import"),
        (("--ignore-volumes", "c"), "--ignore-volumes can only be used with --import"),
        ((), "you must provide at least one name or id"),
        (("-a", "c"), "no arguments are needed with --all"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_make_no_sense(empty: Box, words: tuple[str, ...], says: str) -> None:
    error = empty.fail("restore", *words, code="usage")
    assert says in error["error"]


def test_a_name_that_cannot_be_one(guest: Box, archive: Path) -> None:
    error = guest.fail("restore", "-i", archive, "-n", "../d", code="usage")
    assert "names must match" in error["error"]


# --- what a restore can run into ----------------------------------------------------------------

HOLDING = f"exec 3>>/tmp/held; echo begun >&3; {COUNTER}"


def test_what_criu_cannot_restore_is_undone(box: Box, tree: Path, tmp_path: Path) -> None:
    """A file that was open is not there: of an archive nothing comes, and local images wait for a better day."""
    counter = start_counter(box, tree, script=HOLDING)
    archive = tmp_path / "c.tar.zst"
    box.run("checkpoint", "-R", "-e", archive, "c")
    box.run("checkpoint", "c")
    held, aside = counter.bundle / "layer/diff/tmp/held", box.root / "held"
    held.rename(aside)
    error = box.fail("restore", "c", code="criu-file-missing")
    assert "tmp/held" in error["error"]
    assert Path(error["details"]["log"]).is_file()
    assert box.inspect("c")["State"]["Checkpointed"] is True
    aside.rename(held)
    box.run("restore", "c")
    counter.moves()
    box.run("rm", "-f", "-t", "0", "c")
    error = box.fail("restore", "-i", archive, "--ignore-rootfs", code="criu-file-missing")
    assert error["details"]["lines"]
    assert "log" not in error["details"], "it went with the container"
    assert (box.containers(), operations(box), files_left(box)) == ([], [], [])
    box.run("restore", "-i", archive)
    counter.moves()


def test_ended_while_it_reads(one_box: Box, archive: Path) -> None:
    """What a killed import has made goes by its guard, a terminated one undoes it; the archive's pipe has no end."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        with one_box.popen("restore", "-i", "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as command:
            assert command.stdin is not None
            command.stdin.write(archive.read_bytes()[:-20])
            command.stdin.flush()
            wait_for(partial(unpacked_by, one_box, command.pid), "the images to be unpacked")
            command.send_signal(number)
            _, said = command.communicate(timeout=30)
        wait_for(lambda: not operations(one_box), "the end of the operation")
        assert (one_box.containers(), files_left(one_box)) == ([], [])
    assert command.returncode == 128 + signal.SIGTERM, said


def unpacked_by(box: Box, pid: int) -> bool:
    mine = [operation.id for operation in operations(box) if operation.owner_pid == pid]
    return any(list((box.root / "staging" / name).glob("**/checkpoint/inventory.img")) for name in mine)


def test_killed_while_criu_restores(box: Box, tree: Path, tmp_path: Path) -> None:
    """A half container is killed and removed by the next verb; of a local one the images stay."""
    counter = start_counter(box, tree)
    archive = tmp_path / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    with killed_restore(counter, "c"):
        assert box.inspect("c")["State"]["Checkpointed"] is True
        box.run("restore", "c")
    counter.moves()
    box.run("rm", "-f", "-t", "0", "c")
    with killed_restore(counter, "-i", archive):
        box.run("restore", "-i", archive)
    counter.moves()


@contextmanager
def killed_restore(counter: Counter, *words: str | Path) -> Iterator[None]:
    """All processes are back, and none of them runs yet: there the first CRIU stands still, and its pyodcr is dead."""
    block = """
        test "$CRTOOLS_SCRIPT_ACTION" = post-restore || exit 0
        mkdir "$0.reached" || exit 0
        while test -e "$0"; do sleep 0.02; done
    """
    with administrators_script(counter.box.runtime, block) as script:
        with counter.box.popen("restore", *words) as command:
            try:
                wait_for(Path(f"{script}.reached").exists, "CRIU")
            finally:
                command.kill()
        yield
        script.unlink()


def test_progress_is_told_in_bytes(one_box: Box, archive: Path) -> None:
    done = one_box.call("restore", "-i", archive, "--progress", "json")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    size = archive.stat().st_size
    assert told[-1] == {"container": str(archive), "done_bytes": size, "total_bytes": size}


# --- the root filesystem ------------------------------------------------------------------------

CHANGES = """
cd /layer
echo changed >> modified; chmod 4711 modified; chown 7:8 modified
rm deleted; rm -r directory; rm link
rm file-to-directory; mkdir file-to-directory; echo inside > file-to-directory/file
rm -r directory-to-file; echo file > directory-to-file
rm -r replaced; mkdir -m 2750 replaced; echo new > replaced/new
mkdir -m 1777 added; echo data > added/file; ln added/file added/hard; ln modified added/across
ln -s ../modified added/symbolic; mkfifo -m 640 added/fifo; : > added/empty; mkdir added/nothing
dd if=/dev/zero of=added/sparse bs=1 count=1 seek=5000000 2>/dev/null
mv kept moved; touch -d @1000000000 untouched; chmod 700 /layer/deep/er; chown 3 .
ln -s loop loop
"""


def layered(tree: Path, directory: Path) -> Path:
    """The busybox tree with something in it to change."""
    copy = directory / "layered"
    shutil.copytree(tree, copy, symlinks=True)
    layer = copy / "layer"
    for name in ("directory/below", "directory-to-file/below", "replaced/below", "deep/er"):
        (layer / name).mkdir(parents=True)
        (layer / name / "file").write_text(name)
    for name in ("modified", "deleted", "file-to-directory", "kept", "untouched"):
        (layer / name).write_text(f"{name}\n")
    (layer / "link").symlink_to("modified")
    return copy


def snapshot(root: Path) -> dict[str, object]:
    """All of a tree that an archive has to keep; but for the counter's file and what the engine puts there itself."""
    found: dict[str, object] = {}
    names: dict[int, list[str]] = {}
    for directory, directories, others in os.walk(root):
        for name in [".", *directories, *others]:
            path = os.path.normpath(os.path.join(directory, name))
            info, relative = os.lstat(path), os.path.relpath(path, root)
            if relative in ("tmp", "tmp/n") or relative.split("/")[0] in ("dev", "proc", "sys", "run", "etc"):
                continue
            content = b"" if not stat.S_ISREG(info.st_mode) else Path(path).read_bytes()
            target = os.readlink(path) if stat.S_ISLNK(info.st_mode) else ""
            attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in listxattr(path)}
            times = info.st_mtime_ns if relative != "." else 0  # places for mounts are made in it
            found[relative] = (info.st_mode, info.st_uid, info.st_gid, content, target, attributes, times)
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                names.setdefault(info.st_ino, []).append(relative)
    return found | {"hard links": sorted(sorted(group) for group in names.values() if len(group) > 1)}


def listxattr(path: str) -> list[str]:
    return [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.overlay")]


def test_every_change_of_the_root_filesystem_travels(box: Box, tree: Path, tmp_path: Path) -> None:
    counter = start_counter(box, layered(tree, tmp_path), script=f"{CHANGES}\ncd /; : > /layer/done; {COUNTER}")
    merged = counter.bundle / "layer/merged"
    wait_for((merged / "layer/done").exists, "the changes")
    os.setxattr(merged / "layer/added/file", "user.note", b"kept")
    os.setxattr(merged / "layer/replaced", "user.note", b"too")
    archive = tmp_path / "c.tar.zst"
    before = snapshot(merged)
    assert (merged / "layer/moved").exists()
    box.run("checkpoint", "-e", archive, "c")
    entries = unpacked(archive)
    assert json.loads(entries["deleted.files"] or b"") == [
        "/layer/deleted",
        "/layer/directory",
        "/layer/kept",
        "/layer/link",
        "/layer/replaced/below",
    ]
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    counter.moves()
    after = snapshot(merged)
    assert {name: value for name, value in after.items() if before.get(name) != value} == {}
    assert after.keys() == before.keys()


def test_a_volume_is_what_it_was(one_box: Box, tarball: Path) -> None:
    """Also without the files that its image has in that place: filling it from there would bring them back."""
    one_box.run("image", "import", tarball, "localhost/busybox:latest")
    script = f"rm /etc/group; chmod 2711 /etc; chown 5:6 /etc; ln /etc/passwd /etc/hard; {COUNTER}"
    where = ("--name", "c", "--network", "none", "-v", "store:/etc", "localhost/busybox:latest")
    counter = Counter(one_box, "c", one_box.run("run", "-d", *where, "sh", "-c", script))
    counter.reading()
    content = one_box.root / "volumes/store/_data"
    before = snapshot(content)
    assert "group" not in before
    one_box.run("checkpoint", "-e", one_box.root / "c.tar", "c")
    one_box.run("rm", "c")
    one_box.run("volume", "rm", "store")
    one_box.run("restore", "-i", one_box.root / "c.tar")
    counter.moves()
    assert snapshot(content) == before
    one_box.run("rm", "-f", "-t", "0", "c")
    one_box.run("volume", "rm", "store")


# --- Podman's -----------------------------------------------------------------------------------


def test_podman_and_back(box: Box, tarball: Path, tmp_path: Path) -> None:
    """A container of Podman's goes on under pyodcr, and one of pyodcr's under Podman.

    Podman takes the sources of volumes from the archive as they stand (an absolute path below the storage of the
    host it came from), so only one without volumes goes that way.
    """
    count = "i=$((i+1)); echo $i > /tmp/n; echo $i > /dev/shm/n; echo $i; sleep 0.05"
    image = "localhost/busybox:latest"
    with podman(box.runtime) as engine:
        engine.run("import", tarball, image)
        engine.run("save", "--format", "docker-archive", "-o", tmp_path / "image.tar", image)
        box.run("image", "pull", f"docker-archive:{tmp_path}/image.tar")
        program = f"rm /etc/group; echo changed > /etc/passwd; i=0; while :; do {count}; echo $i > /data/n; done"
        words = ("-v", "store:/data", "-l", "key=value", image, "sh", "-c", program)
        identity = engine.run("run", "-d", "--name", "c", "--network", "none", *words)
        wait_for(lambda: engine.run("exec", "c", "cat", "/tmp/n").strip() not in ("", "0"), "it to count")
        engine.run("container", "checkpoint", "-e", tmp_path / "podman.tar.zst", "c")
        reached = int((unpacked(tmp_path / "podman.tar.zst")["ctr.log"] or b"").split()[-1])
        engine.run("rm", "c")
        engine.run("volume", "rm", "store")

        assert box.run("restore", "-i", tmp_path / "podman.tar.zst") == identity
        counter = Counter(box, "c", identity)
        reached = counter.moves(above=reached)
        assert box.inspect("c")["Config"]["Labels"] == {"key": "value"}
        assert not (counter.bundle / "layer/merged/etc/group").exists()
        assert (counter.bundle / "layer/merged/etc/passwd").read_text() == "changed\n"
        for place in ("/dev/shm/n", "/data/n"):
            assert int(wait_for(partial(box.run, "exec", "c", "cat", place), place)) >= reached
        box.run("rm", "-f", "-t", "0", "c")
        box.run("volume", "rm", "store")

        program = f"rm /etc/group; echo changed > /etc/passwd; i=0; while :; do {count}; done"
        identity = box.run(
            "run", "-d", "--name", "c", "--network", "none", "-l", "key=value", image, "sh", "-c", program
        )
        reached = Counter(box, "c", identity).moves()
        box.run("checkpoint", "-e", tmp_path / "pyodcr.tar.zst", "c")
        box.run("rm", "c")
        assert engine.run("container", "restore", "-i", tmp_path / "pyodcr.tar.zst") == identity
        wait_for(lambda: int(engine.run("exec", "c", "cat", "/dev/shm/n") or 0) > reached, "it to count on")
        assert engine.run("exec", "c", "cat", "/etc/passwd") == "changed"
        assert engine.run("inspect", "--format", "{{.Config.Labels}}", "c") == "map[key:value]"
        lines = [int(line) for line in engine.run("logs", "c").split()]
        assert lines == list(range(1, len(lines) + 1)), "its log has every line once"
