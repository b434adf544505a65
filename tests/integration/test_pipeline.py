"""From CRIU's images into the archive while they are written: in memory, on disk, into files, pipes and S3."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.linux import mounts
from tests.support.box import Box, wait_for
from tests.support.checkpoints import (
    Counter,
    assert_undisturbed,
    held,
    kill,
    operations,
    perl_tree,
    start_counter,
    tampering,
)
from tests.support.s3server import serve

pytestmark = pytest.mark.root

MIB = 1 << 20
SIZES_KIB = (23 * 1024 + 5, 9 * 1024, 4 * 1024, 600)  # several frames, one about full, and none

# Processes with noise in their memory; each says its checksum, and adds it up again whenever it is asked to.
NOISE = """
$SIG{TERM} = sub { exit 0 };
@sizes = (%s);
for ($n = $#sizes; $n > 0; $n--) { last if !fork }
open(R, '<', '/dev/urandom');
read(R, $noise, $sizes[$n] * 1024);
sub said { open(F, '>', "/tmp/$_[0].$n.new"); print F unpack('%%32C*', $noise); close F;
           rename("/tmp/$_[0].$n.new", "/tmp/$_[0].$n") }
said('first');
for ($i = 1; ; $i++) {
    if (-e '/tmp/ask' && !-e "/tmp/again.$n") { said('again') }
    if (!$n) { open(F, '>', '/tmp/n'); print F $i; close F }
    select(undef, undef, undef, 0.02);
}
"""


@pytest.fixture(scope="module")
def perl(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return perl_tree(tree, tmp_path_factory.mktemp("tree"))


@pytest.fixture
def noisy(box: Box, perl: Path) -> Counter:
    script = NOISE % ", ".join(map(str, SIZES_KIB))
    words = ("run", "-d", "--name", "c", "--network", "none", "--rootfs", f"{perl}:O", "perl", "-e", script)
    counter = Counter(box, "c", box.run(*words))
    counter.reading()
    wait_for(lambda: len(sums(counter, "first")) == len(SIZES_KIB), "all to fill their memory")
    return counter


def sums(counter: Counter, which: str) -> dict[str, str]:
    merged = counter.bundle / "layer/merged/tmp"
    return {path.suffix: path.read_text() for path in merged.glob(f"{which}.?")}


def assert_memory_is_whole(counter: Counter) -> None:
    """Every process adds its memory up again, and finds what it was before the checkpoint."""
    (counter.bundle / "layer/merged/tmp/ask").touch()
    wait_for(lambda: len(sums(counter, "again")) == len(SIZES_KIB), "all to add up their memory")
    assert sums(counter, "again") == sums(counter, "first")


def use(box: Box, staging: str) -> None:
    configuration = box.root / "pyodcr.toml"
    configuration.write_text(f'[checkpoint]\nstaging = "{staging}"\n')
    box.env["PYODCR_CONFIG"] = str(configuration)


def exported(box: Box, *words: str | Path) -> dict[str, Any]:
    """A checkpoint's statistics, as it prints them."""
    (found,) = json.loads(box.run("checkpoint", "--print-stats", *words, "c"))["container_statistics"]
    ours: dict[str, Any] = found["pyodcr"]
    return ours


def images_of(archive: Path) -> dict[str, int]:
    with archive.open("rb") as stream:
        return {entry.name: entry.size for entry in ArchiveReader(stream) if entry.name.startswith("checkpoint/")}


@pytest.mark.parametrize("staging", ["memory", "disk"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_every_byte_of_memory_arrives(noisy: Counter, staging: str, compression: str) -> None:
    box, archive = noisy.box, noisy.box.root / "c.tar"
    use(box, staging)
    statistics = exported(box, "-c", compression, "-e", archive)
    assert statistics["staging"] == staging
    assert statistics["content_bytes"] > sum(SIZES_KIB) * 1024
    images = images_of(archive)
    memory = {name: size for name, size in images.items() if "/pages-" in name}
    assert list(images)[: len(memory)] == [f"checkpoint/pages-{n}.img" for n in range(1, len(memory) + 1)]
    assert sum(size > 4 * MIB for size in memory.values()) >= 2, "some were followed"
    assert sum(size < 4 * MIB for size in memory.values()) >= 1, "and one was too small for that"
    assert mounts.below(box.root / "staging") == []
    reached = noisy.last()
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    noisy.moves(above=reached)
    assert_memory_is_whole(noisy)


def test_memory_is_what_is_chosen_where_there_is_enough(noisy: Counter) -> None:
    assert exported(noisy.box, "-e", noisy.box.root / "c.tar")["staging"] == "memory"


def test_files_in_memory_are_counted(box: Box, tree: Path, tmp_path: Path) -> None:
    """CRIU packs the tmpfs mounts of a container into its images: they take room, too."""
    counter = start_counter(box, tree, "--tmpfs", "/data:size=200m")
    box.run("exec", "c", "dd", "if=/dev/urandom", "of=/data/noise", "bs=1M", "count=150")
    noise = box.run("exec", "c", "sha256sum", "/data/noise")
    assert exported(box, "-e", tmp_path / "c.tar")["staging"] == "memory"
    box.run("rm", "c")
    box.run("restore", "-i", tmp_path / "c.tar")
    counter.moves()
    assert box.run("exec", "c", "sha256sum", "/data/noise") == noise


def test_what_is_kept_is_on_disk(noisy: Counter) -> None:
    box = noisy.box
    assert exported(box, "--keep", "-e", box.root / "c.tar")["staging"] == "disk"
    pages = (noisy.bundle / "checkpoint").glob("pages-*.img")
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in pages), "without holes"
    box.run("restore", "c")
    assert_memory_is_whole(noisy)


def test_a_container_that_runs_on_is_read_behind_its_back(noisy: Counter) -> None:
    """The archive goes into a pipe that nobody reads, while the container moves."""
    box = noisy.box
    with held(noisy, "--leave-running") as checkpoint:
        noisy.moves()
        (memory,) = mounts.below(box.root / "staging")
        assert (memory.fstype, memory.target.stat().st_mode & 0o777) == ("tmpfs", 0o700)
        assert checkpoint.ends() == (0, "")
    assert_undisturbed(noisy)
    archive = box.root / "c.tar"
    archive.write_bytes(checkpoint.archive)
    box.run("rm", "-f", "-t", "0", "c")
    box.run("restore", "-i", archive)
    noisy.moves()
    assert_memory_is_whole(noisy)


def test_a_staging_that_is_full_is_a_refusal(noisy: Counter, tmp_path: Path) -> None:
    """The container grew faster than was foreseen: it runs on, and the host's last memory was not taken."""
    box, before = noisy.box, noisy.reading()
    with tampering(box, f"mount -o remount,size=2m {box.root}/staging/*/memory"):
        error = box.fail("checkpoint", "-e", tmp_path / "c.tar", "c", code="criu-no-space")
    assert 'staging = "disk"' in error["hint"]
    assert list(tmp_path.iterdir()) == []
    noisy.moves(above=before)
    assert_undisturbed(noisy)
    assert_memory_is_whole(noisy)


def test_what_a_killed_owner_had_in_memory_is_given_back(noisy: Counter) -> None:
    box, before = noisy.box, noisy.reading()
    with held(noisy) as checkpoint:
        assert [found.fstype for found in mounts.below(box.root / "staging")] == ["tmpfs"]
        kill(box, checkpoint.command, guarded=True)
        wait_for(lambda: not mounts.below(box.root / "staging"), "the memory to be given back")
    noisy.moves(above=before)
    wait_for(lambda: not operations(box), "the guard to finish")
    assert_undisturbed(noisy)
    assert_memory_is_whole(noisy)


@pytest.fixture
def bucket(box: Box, tmp_path: Path) -> Iterator[str]:
    with serve(tmp_path) as server:
        box.env |= server.environment()
        server.make_bucket("archives")
        yield "s3://archives/c.tar.zst"


def test_parts_are_sent_while_sizes_are_unknown(noisy: Counter, bucket: str) -> None:
    box = noisy.box
    archive_bytes = exported(box, "-e", bucket)["archive_bytes"]
    assert archive_bytes > 30 * MIB, "several parts"
    box.run("rm", "c")
    box.run("restore", "-i", bucket)
    noisy.moves()
    assert_memory_is_whole(noisy)


def test_podman_and_tar_read_what_was_followed(noisy: Counter) -> None:
    archive = noisy.box.root / "c.tar.zst"
    exported(noisy.box, "-e", archive)
    listing = subprocess.run(["tar", "--zstd", "-tvf", archive], capture_output=True, text=True, check=True)
    assert listing.stderr == ""
    sizes = {line.split()[5]: int(line.split()[2]) for line in listing.stdout.splitlines()}
    assert {name: size for name, size in sizes.items() if "/pages-" in name} == {
        name: size for name, size in images_of(archive).items() if "/pages-" in name
    }
    shown = subprocess.run(["checkpointctl", "inspect", "--stats", archive], capture_output=True, text=True, check=True)
    assert "Pages written" in shown.stdout
