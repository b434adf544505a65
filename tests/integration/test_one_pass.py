"""An import makes the container while it reads: what it makes of damage, of any order of entries, and of large ones."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from pyodcr.linux import mounts, processes
from tests.integration.conftest import RUNTIMES
from tests.support.archives import MANIFEST, unpacked
from tests.support.box import Box, files_left, leaving_nothing, wait_for
from tests.support.checkpoints import Counter, administrators_script, operations, perl_tree, whole_box

pytestmark = pytest.mark.root

DAMAGES = int(os.environ.get("PYODCR_DAMAGES", "8"))
LARGE_MIB = int(os.environ.get("PYODCR_LARGE_MIB", "256"))
RSS_MIB = 100

IMAGE = "localhost/busybox:latest"
SCRIPT = """
rm /etc/group; echo changed > /etc/passwd; echo new > /etc/new; i=0
while :; do i=$((i+1)); echo $i > /dev/shm/n; echo $i > /data/n; echo $i > /tmp/n; echo $i; sleep 0.05; done
"""


@dataclass(frozen=True, slots=True)
class Rich:
    """An archive of a container that has something of everything, and how far it had come."""

    path: Path
    id: str
    reached: int


def _archive(box: Box, path: Path, *options: str) -> Rich:
    words = ("--name", "c", "-p", "18099:80", "-v", "store:/data", IMAGE, "sh", "-c", SCRIPT)
    counter = Counter(box, "c", box.run("run", "-d", *words))
    counter.moves()
    box.run("checkpoint", "-e", path, *options, "c")
    reached = counter.last()
    box.run("rm", "c")
    box.run("volume", "rm", "store")
    return Rich(path, counter.id, reached)


@pytest.fixture(scope="module", params=RUNTIMES)
def host(request: pytest.FixtureRequest, tarball: Path) -> Iterator[Box]:
    with whole_box(request.param) as box:
        box.run("image", "import", tarball, IMAGE)
        yield box


@pytest.fixture(scope="module")
def rich(host: Box, tmp_path_factory: pytest.TempPathFactory) -> Rich:
    return _archive(host, tmp_path_factory.mktemp("rich") / "c.tar.zst")


def _is_all_there(box: Box, archive: Rich) -> None:
    """The restored container has what went into the archive; then it goes."""
    counter = Counter(box, "c", archive.id)
    counter.moves(above=archive.reached)
    merged = counter.bundle / "layer/merged/etc"
    assert not (merged / "group").exists()
    assert (merged / "passwd").read_text() == "changed\n"
    assert (merged / "new").read_text() == "new\n"
    for place in ("/dev/shm/n", "/data/n"):
        assert int(wait_for(partial(box.run, "exec", "c", "cat", place), place)) >= archive.reached
    lines = [int(line) for line in box.run("logs", "c").split()]
    assert lines == list(range(1, len(lines) + 1)), "its log has every line once"
    box.run("rm", "-f", "-t", "0", "c")
    box.run("volume", "rm", "store")


@contextmanager
def _refusing(box: Box) -> Iterator[None]:
    """Nothing is left of what is done in the block: no container, volume, mount, interface, file."""
    with leaving_nothing():
        yield
        wait_for(lambda: not operations(box), "the operation to be closed")
    assert box.containers() == []
    assert box.run("volume", "ls", "-q") == ""
    assert files_left(box) == []
    assert mounts.below(box.root) == []


# --- damaged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zstd", "none"])
def test_damage_anywhere_leaves_nothing(host: Box, tmp_path: Path, form: str) -> None:
    """When it is found the container stands there with mounts, volume and files; CRIU must not have been called."""
    archive = _archive(host, tmp_path / "c.tar", "-c", form)
    whole = archive.path.read_bytes()
    seed = random.randrange(1 << 32)
    choice = random.Random(seed)
    with administrators_script(host.runtime, ': > "$0.ran"') as script:
        ran = Path(f"{script}.ran")
        for number in range(DAMAGES):
            place = choice.randrange(len(whole)) if number else len(whole) - 1
            damaged = bytearray(whole if number % 2 else whole[:place])
            if number % 2:
                damaged[place] ^= 1 << choice.randrange(8)
            (tmp_path / "damaged").write_bytes(damaged)
            with _refusing(host):
                done = host.call("restore", "-i", tmp_path / "damaged")
            assert done.returncode == 125, f"seed {seed}, damage {number} at byte {place}: {done.stderr.decode()}"
            assert b"Traceback" not in done.stderr
            assert not ran.exists(), f"seed {seed}, damage {number} at byte {place}: it was started unverified"
        host.run("restore", "-i", archive.path)
        assert ran.exists()
    _is_all_there(host, archive)


# --- the order of entries -----------------------------------------------------------------------


def _tar(path: Path, entries: Iterable[tuple[str, bytes | None]]) -> Path:
    """As Podman would write it: without pyodcr.json. None stands for a directory."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.mode = 0o600
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o700
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))
    return path


FIRST = {
    "podman": (
        "artifacts",
        "devshm-checkpoint.tar",
        "config.dump",
        "spec.dump",
        "network.status",
        "stats-dump",
        "ctr.log",
    ),
    "images": ("checkpoint",),
    "parts": ("rootfs-diff.tar", "volumes", "ctr.log", "devshm-checkpoint.tar", "deleted.files"),
    "spec": ("spec.dump", "rootfs-diff.tar", "config.dump", "checkpoint"),
}


@pytest.mark.parametrize("order", [*FIRST, "backwards"])
def test_entries_in_any_order(host: Box, rich: Rich, tmp_path: Path, order: str) -> None:
    entries = unpacked(rich.path)
    del entries[MANIFEST]
    names = list(entries)
    if order == "backwards":
        names.reverse()
    else:
        first = FIRST[order]
        names.sort(key=lambda name: first.index(name.split("/")[0]) if name.split("/")[0] in first else len(first))
    if order == "podman":
        names.sort(key=("deleted.files",).count)
    archive = _tar(tmp_path / "c.tar", [(name, entries[name]) for name in names])
    host.run("restore", "-i", archive)
    _is_all_there(host, rich)


@pytest.mark.parametrize("name", ["config.dump", "spec.dump", "deleted.files", "checkpoint/inventory.img", "ctr.log"])
def test_no_entry_comes_twice(host: Box, rich: Rich, tmp_path: Path, name: str) -> None:
    entries = unpacked(rich.path)
    del entries[MANIFEST]
    archive = _tar(tmp_path / "c.tar", [*entries.items(), (name, entries[name])])
    with _refusing(host):
        host.fail("restore", "-i", archive, code="archive-hostile")


@pytest.mark.parametrize("name", ["config.dump", "spec.dump", "checkpoint/inventory.img"])
def test_no_entry_is_missing(host: Box, rich: Rich, tmp_path: Path, name: str) -> None:
    entries = unpacked(rich.path)
    del entries[MANIFEST], entries[name]
    archive = _tar(tmp_path / "c.tar", entries.items())
    with _refusing(host):
        error = host.fail("restore", "-i", archive)
    assert error["code"] == ("archive-incomplete" if "/" in name else "archive-foreign")
    assert name in error["error"]


# --- where it goes ------------------------------------------------------------------------------


@contextmanager
def _nearly_read(box: Box, archive: Path) -> Iterator[Path]:
    """An import whose pipe has not ended yet; its staging directory. It goes on after the block, and succeeds."""
    content = archive.read_bytes()
    with box.popen("restore", "-i", "-", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as command:
        assert command.stdin is not None
        command.stdin.write(content[:-20])
        command.stdin.flush()
        found = wait_for(lambda: list((box.root / "staging").glob("*/**/checkpoint/inventory.img")), "the images")
        time.sleep(0.1)
        yield found[0].parent.parent
        command.stdin.write(content[-20:])
        command.stdin.close()
        assert command.wait(timeout=60) == 0


@pytest.mark.parametrize("wish", ["memory", "disk"])
def test_images_wait_where_they_are_wanted(host: Box, rich: Rich, tmp_path: Path, wish: str) -> None:
    (tmp_path / "pyodcr.toml").write_text(f'[checkpoint]\nstaging = "{wish}"\n')
    box = replace(host, env={"PYODCR_CONFIG": str(tmp_path / "pyodcr.toml")})
    with _nearly_read(box, rich.path) as staging:
        assert mounts.is_mounted(staging) == (wish == "memory")
    assert not mounts.below(box.root / "staging")
    _is_all_there(box, rich)


MEMORY = """
open(U, "/dev/urandom"); for (1 .. $ENV{MIB}) { read(U, $p, 1 << 20); $x .= $p }
sub sum { my $s = 0; for (my $i = 0; $i < length($x); $i += 4096) { $s += unpack("N", substr($x, $i, 4)) } $s }
$was = sum();
for ($i = 1; ; $i++) {
    die if sum() != $was; open(F, ">", "/tmp/n"); print F $i; close(F); select(undef, undef, undef, 0.1)
}
"""


def _start_large(box: Box, tree: Path, size_mib: int) -> Counter:
    """It ends if one page of its memory is not what it was."""
    words = ("run", "-d", "--name", "c", "--network", "none", "-e", f"MIB={size_mib}", "--rootfs", f"{tree}:O")
    counter = Counter(box, "c", box.run(*words, "perl", "-e", MEMORY))
    wait_for(counter._digits, "it to count", 120.0)
    return counter


@pytest.fixture(scope="module")
def perl(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return perl_tree(tree, tmp_path_factory.mktemp("tree"))


@contextmanager
def _limited(size_mib: int) -> Iterator[Path]:
    """A control group with a limit on its memory, to be entered."""
    place = Path("/sys/fs/cgroup/memory/pyodcr-limited")
    if not place.parent.is_dir():
        place = Path("/sys/fs/cgroup/pyodcr-limited")
    place.mkdir()
    name = "memory.max" if (place / "memory.max").exists() else "memory.limit_in_bytes"
    (place / name).write_text(str(size_mib << 20))
    try:
        yield place
    finally:
        wait_for(lambda: not (place / "cgroup.procs").read_text(), "the group to be empty")
        place.rmdir()


def test_what_memory_cannot_hold_goes_to_the_disk(host: Box, perl: Path, tmp_path: Path) -> None:
    counter = _start_large(host, perl, 128)
    host.run("checkpoint", "-e", tmp_path / "c.tar.zst", "c")
    host.run("rm", "c")
    with _limited(340) as group:
        box = replace(host, prefix=("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"))
        with _nearly_read(box, tmp_path / "c.tar.zst") as staging:
            assert mounts.is_mounted(staging)
            pages = [path for path in (staging / "checkpoint").glob("pages-*.img") if path.is_symlink()]
            assert pages
            assert all(path.resolve().is_relative_to(staging.parent / "checkpoint") for path in pages)
        counter.moves()
        host.run("rm", "-f", "-t", "0", "c")


def test_a_disk_that_is_too_small(one_box: Box, tarball: Path, tmp_path: Path) -> None:
    """For the files of the container: when the last block is taken, all that was made goes again."""
    one_box.run("image", "import", tarball, IMAGE)
    script = f"dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null; {SCRIPT.replace('> /data/n', '> /dev/null')}"
    counter = Counter(one_box, "c", one_box.run("run", "-d", "--name", "c", IMAGE, "sh", "-c", script))
    counter.moves()
    one_box.run("checkpoint", "-e", tmp_path / "c.tar.zst", "c")
    one_box.run("rm", "c")
    place = tmp_path / "small"
    place.mkdir()
    mounts.mount("small", place, "tmpfs", options="size=40m,mode=0700")
    try:
        box = replace(one_box, root=place / "root")
        box.run("image", "import", tarball, IMAGE)
        box.fail("restore", "-i", tmp_path / "c.tar.zst", code="no-space")
        wait_for(lambda: not operations(box), "the operation to be closed")
        assert (box.containers(), files_left(box), mounts.below(box.root)) == ([], [], [])
    finally:
        mounts.unmount_below(place)


# --- how much it takes --------------------------------------------------------------------------


def _peak_mib(command: subprocess.Popen[bytes]) -> float:
    """What the processes of pyodcr that live at one time have held at most: the command, and the Pythons it starts."""
    peak = 0
    while command.poll() is None:
        # one that is being started is still in its parent's memory, and has its arguments
        held = {
            processes.arguments(pid): _held_kib(pid) for pid in (*processes.descendants([command.pid]), command.pid)
        }
        peak = max(peak, sum(held.values()))
        time.sleep(0.005)
    return peak / 1024


def _held_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return 0
    values = dict(line.split(":", 1) for line in lines)
    return int(values.get("VmHWM", "0 kB").split()[0]) if program.startswith("python") else 0


def test_it_holds_little_at_once(host: Box, perl: Path, tmp_path: Path) -> None:
    """PYODCR_LARGE_MIB=2048 tries what takes a minute; the bound is the same for any size."""
    counter = _start_large(host, perl, LARGE_MIB)
    host.run("checkpoint", "-e", tmp_path / "c.tar.zst", "c")
    host.run("rm", "c")
    with host.popen("restore", "-i", tmp_path / "c.tar.zst", stdout=subprocess.DEVNULL) as command:
        peak = _peak_mib(command)
    assert command.returncode == 0
    counter.moves()
    host.run("rm", "-f", "-t", "0", "c")
    assert peak < RSS_MIB, f"{peak:.0f} MiB for {LARGE_MIB} MiB"
