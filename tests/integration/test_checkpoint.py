"""Checkpoint and restore of real containers, by real CRIU, on both runtimes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box, wait_for

pytestmark = pytest.mark.root


def start_counter(box: Box, tree: Path, *options: str, name: str = "c") -> None:
    box.run("run", "-d", "--name", name, "--network", "none", *options, "--rootfs", f"{tree}:O", "sh", "-c", COUNTER)
    box.count(name)


def test_local_checkpoint_goes_on_where_it_was(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    assert box.run("checkpoint", "c") == "c"
    found = box.inspect("c")["State"]
    assert (found["Status"], found["Checkpointed"], found["Pid"]) == ("exited", True, 0)
    reached = int((box.root / "containers" / box.inspect("c")["Id"] / "layer/diff/tmp/n").read_text())
    assert box.run("restore", "c") == "c"
    box.counts_on("c", above=reached)
    found = box.inspect("c")["State"]
    assert (found["Status"], found["Restored"]) == ("running", True)
    assert "Checkpointed" not in found


def test_leave_running_goes_on_and_can_be_restored_from(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "--leave-running", "--export", archive, "c")
    reached = box.counts_on("c")
    box.run("rm", "-f", "-t", "0", "c")
    box.run("restore", "--import", archive)
    restored = box.counts_on("c")
    assert restored < reached + 50, "it went on from where it was killed, not from where it was checkpointed"


def test_export_then_restore_from_the_recorded_archive(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    assert archive.stat().st_mode & 0o777 == 0o600
    assert not (box.root / "containers" / box.inspect("c")["Id"] / "checkpoint").exists()
    box.run("restore", "c")
    box.counts_on("c")


def test_recorded_archive_that_is_gone_is_named(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    archive.rename(archive.with_suffix(".moved"))
    error = box.fail("restore", "c")
    assert str(archive) in error["error"]
    archive.with_suffix(".moved").rename(archive)
    box.run("restore", "c")
    box.counts_on("c")


def test_keep_keeps_images_and_logs_beside_the_archive(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "--keep", "-e", archive, "c")
    bundle = box.root / "containers" / box.inspect("c")["Id"]
    assert (bundle / "checkpoint/inventory.img").exists()
    assert (bundle / "dump.log").exists()
    archive.unlink()
    box.run("restore", "--keep", "c")
    box.counts_on("c")
    assert (bundle / "checkpoint/inventory.img").exists()


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_every_compression_travels(box: Box, tree: Path, compression: str) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar"
    box.run("checkpoint", "-e", archive, "-c", compression, "c")
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    box.counts_on("c")


def test_through_a_pipe(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    done = box.call("checkpoint", "-e", "-", "c")
    assert done.returncode == 0, done.stderr
    assert done.stdout[:4] == b"\x28\xb5\x2f\xfd", "standard output holds the archive and nothing else"
    box.run("rm", "c")
    box.run("restore", "-i", "-", stdin=done.stdout)
    box.counts_on("c")


def test_a_copy_gets_a_name_and_an_id_of_its_own(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-R", "-e", archive, "c")
    identity = box.run("restore", "-i", archive, "-n", "copy")
    assert box.inspect("copy")["Id"] == identity != box.inspect("c")["Id"]
    box.counts_on("copy")
    box.counts_on("c")


def test_files_memory_and_shm_agree(box: Box, image: str) -> None:
    """What the container wrote to its root, a volume and /dev/shm is of the same instant as its memory."""
    program = (
        "i=0; rm -f /etc/group; while :; do i=$((i+1)); echo $i >/tmp/n; cp /tmp/n /data/n; cp /tmp/n /dev/shm/n; done"
    )
    box.run("run", "-d", "--name", "c", "--network", "none", "-v", "store:/data", image, "sh", "-c", program)
    box.count("c")
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("volume", "rm", "store")
    box.run("restore", "-i", archive)
    box.run("pause", "c")
    identity = box.inspect("c")["Id"]
    root = box.root / "containers" / identity
    values = {
        name: int(path.read_text() or "0")
        for name, path in {
            "root": root / "layer/merged/tmp/n",
            "volume": box.root / "volumes/store/_data/n",
            "shm": root / "shm/n",
        }.items()
    }
    assert max(values.values()) - min(values.values()) <= 1, values
    assert not (root / "layer/merged/etc/group").exists()
    box.run("unpause", "c")
    box.counts_on("c", above=values["root"])
    box.run("rm", "-f", "-t", "0", "c")
    box.run("volume", "rm", "store")


def test_statistics_have_podmans_keys(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    found = json.loads(box.run("checkpoint", "--print-stats", "c"))
    (one,) = found["container_statistics"]
    assert found["podman_checkpoint_duration"] >= one["runtime_checkpoint_duration"] > 0
    assert one["criu_statistics"]["pages_written"] > 0
    found = json.loads(box.run("restore", "--print-stats", "c"))
    (one,) = found["container_statistics"]
    assert one["criu_statistics"]["pages_restored"] > 0


def test_checkpoint_all_takes_every_running_one(box: Box, tree: Path) -> None:
    start_counter(box, tree, name="a")
    start_counter(box, tree, name="b")
    box.run("create", "--name", "idle", "--network", "none", "--rootfs", f"{tree}:O", "true")
    box.run("checkpoint", "--all")
    assert [box.state(name) for name in ("a", "b", "idle")] == ["exited", "exited", "created"]
    box.run("restore", "a", "b")
    box.counts_on("a")
    box.counts_on("b")


def test_a_restored_container_can_be_checkpointed_again(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    reached = 0
    for round_ in range(3):
        archive = box.root / f"{round_}.tar.zst"
        box.run("checkpoint", "-e", archive, "c")
        box.run("rm", "c")
        box.run("restore", "-i", archive)
        reached = box.counts_on("c", above=reached)


def test_log_goes_on_in_the_archive(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    wait_for(lambda: len(box.run("logs", "c").splitlines()) > 5, "log lines")
    lines = [int(line) for line in box.run("logs", "c").splitlines()]
    assert lines == list(range(1, len(lines) + 1)), "no line is lost or doubled"


def test_podman_and_checkpointctl_read_the_archive(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    shown = subprocess.run(["checkpointctl", "show", archive], capture_output=True, text=True, check=True).stdout
    assert box.inspect("c")["Id"][:12] in shown
    inspected = subprocess.run(
        ["checkpointctl", "inspect", "--all", archive], capture_output=True, text=True, check=False
    )
    assert inspected.returncode == 0, inspected.stderr


def test_networked_container_keeps_its_address(box: Box, image: str, make_box: Callable[[], Box]) -> None:
    box.run("run", "-d", "--name", "c", image, "sh", "-c", COUNTER)
    box.count("c")
    before = box.inspect("c")["NetworkSettings"]["Networks"]["pyodcr"]
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    after = box.inspect("c")["NetworkSettings"]["Networks"]["pyodcr"]
    assert (after["IPAddress"], after["MacAddress"]) == (before["IPAddress"], before["MacAddress"])
    box.counts_on("c")


def test_only_a_start_that_succeeds_uses_up_the_checkpoint(box: Box, tree: Path, tmp_path: Path) -> None:
    bound = tmp_path / "bound"
    bound.mkdir()
    start_counter(box, tree, "-v", f"{bound}:/mnt")
    images = box.root / "containers" / box.inspect("c")["Id"] / "checkpoint/inventory.img"
    box.run("checkpoint", "c")
    bound.rmdir()
    assert box.call("start", "c").returncode in (125, 127), "each runtime has its own words for it"
    bound.mkdir()
    assert box.inspect("c")["State"]["Checkpointed"] is True
    reached = int((images.parents[1] / "layer/diff/tmp/n").read_text())
    box.run("restore", "c")
    box.counts_on("c", above=reached)
    box.run("checkpoint", "c")
    assert images.exists()
    box.run("start", "c")
    assert not images.parent.exists()
    box.run("kill", "c")
    box.fail("restore", "c", code="no-checkpoint")


def test_memory_is_never_put_over_files_that_have_moved_on(box: Box, tree: Path) -> None:
    start_counter(box, tree)
    box.run("checkpoint", "--leave-running", "c")
    box.run("kill", "c")
    error = box.fail("restore", "c", code="checkpoint-outdated")
    assert "--import" in error["hint"]
    box.run("start", "c")
    box.count("c")
    box.run("checkpoint", "--keep", "c")
    box.run("restore", "--keep", "c")
    box.counts_on("c")
    box.run("kill", "c")
    box.fail("restore", "--keep", "c", code="checkpoint-outdated")
    box.fail("restore", "c", code="checkpoint-outdated")
