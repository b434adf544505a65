"""Checkpoint and restore of real containers, by real CRIU, on both runtimes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box, wait_for
from tests.support.checkpoints import (
    Counter,
    administrators_script,
    assert_undisturbed,
    held,
    start_counter,
)

pytestmark = pytest.mark.root


# --- kept on this host --------------------------------------------------------------------------


def test_local_checkpoint_goes_on_where_it_was(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    box.run("exec", "c", "sh", "-c", "echo kept > /dev/shm/note")
    assert box.run("checkpoint", "c") == "c"
    assert skips_the_lock(counter)
    found = box.inspect("c")["State"]
    assert (found["Status"], found["Checkpointed"], found["Pid"], found["ExitCode"]) == ("exited", True, 0, 0)
    reached = counter.last()
    assert box.run("restore", "c") == "c"
    counter.moves(above=reached)
    found = box.inspect("c")["State"]
    assert (found["Status"], found["Restored"], found["Checkpointed"]) == ("running", True, False)
    assert box.run("exec", "c", "cat", "/dev/shm/note") == "kept"
    assert not (counter.bundle / "checkpoint").exists(), "a checkpoint is used up"
    assert_undisturbed(counter)
    box.run("stop", "-t", "0", "c")
    box.fail("restore", "c", code="no-checkpoint")


def test_leave_running_goes_on_and_can_be_restored_from(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "--leave-running", "--export", archive, "c")
    counter.moves()
    assert_undisturbed(counter)
    box.run("rm", "-f", "-t", "0", "c")
    assert box.run("restore", "--import", archive) == counter.id
    counter.moves()
    assert_every_line_once(counter)


def assert_every_line_once(counter: Counter) -> None:
    """Its log says whether it went on from the very instant that its archive is of."""
    lines = [int(line) for line in counter.box.run("logs", counter.name).splitlines()]
    assert lines == list(range(1, len(lines) + 1))


def test_log_of_a_container_that_runs_on_is_of_the_same_instant(box: Box, tree: Path) -> None:
    """It is written to the archive later, when lines have come that the restored one will write again."""
    counter = start_counter(box, tree)
    with held(counter, "--leave-running") as checkpoint:
        counter.moves()
        assert checkpoint.ends() == (0, "")
    box.run("rm", "-f", "-t", "0", "c")
    archive = box.root / "c.tar"
    archive.write_bytes(checkpoint.archive)
    box.run("restore", "-i", archive)
    counter.moves()
    assert_every_line_once(counter)


def test_keep_keeps_images_and_logs_beside_the_archive(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "--keep", "-e", archive, "c")
    assert (counter.bundle / "checkpoint/inventory.img").exists()
    for name in ("dump.log", "stats-dump"):
        assert (counter.bundle / name).stat().st_size
    archive.unlink()
    reached = counter.last()
    box.run("restore", "--keep", "c")
    counter.moves(above=reached)
    assert (counter.bundle / "checkpoint/inventory.img").exists()
    assert (counter.bundle / "restore.log").stat().st_size


def test_only_a_start_that_succeeds_uses_up_the_checkpoint(box: Box, tree: Path, tmp_path: Path) -> None:
    bound = tmp_path / "bound"
    bound.mkdir()
    counter = start_counter(box, tree, "-v", f"{bound}:/mnt")
    images = counter.bundle / "checkpoint/inventory.img"
    box.run("checkpoint", "c")
    bound.rmdir()
    assert box.call("start", "c").returncode in (125, 127), "each runtime has its own words for it"
    bound.mkdir()
    assert box.inspect("c")["State"]["Checkpointed"] is True
    reached = counter.last()
    box.run("restore", "c")
    counter.moves(above=reached)
    box.run("checkpoint", "c")
    assert images.exists()
    box.run("start", "c")
    assert not images.parent.exists()
    box.run("kill", "c")
    box.fail("restore", "c", code="no-checkpoint")


def test_memory_is_never_put_over_files_that_have_moved_on(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    box.run("checkpoint", "--leave-running", "c")
    box.run("kill", "c")
    error = box.fail("restore", "c", code="checkpoint-outdated")
    assert "--import" in error["hint"]
    box.run("start", "c")
    counter.reading()
    box.run("checkpoint", "--keep", "c")
    box.run("restore", "--keep", "c")
    counter.moves()
    box.run("kill", "c")
    box.fail("restore", "--keep", "c", code="checkpoint-outdated")
    box.fail("restore", "c", code="checkpoint-outdated")


def test_checkpoint_and_restore_all(box: Box, tree: Path) -> None:
    counters = [start_counter(box, tree, name=name) for name in ("a", "b")]
    box.run("create", "--name", "idle", "--network", "none", "--rootfs", f"{tree}:O", "true")
    assert set(box.run("checkpoint", "--all").split()) == {counter.id for counter in counters}
    assert [box.state(name) for name in ("a", "b", "idle")] == ["exited", "exited", "created"]
    reached = [counter.last() for counter in counters]
    assert set(box.run("restore", "--all").split()) == {counter.id for counter in counters}
    for counter, before in zip(counters, reached, strict=True):
        counter.moves(above=before)


def test_a_container_in_the_namespaces_of_another(box: Box, tree: Path) -> None:
    """CRIU locks the network that both have, and leaves it locked when it has killed the one."""
    host = start_counter(box, tree, name="host")
    identity = box.run(
        *("run", "-d", "--name", "c", "--network", "container:host", "--ipc", "container:host"),
        *("--rootfs", f"{tree}:O", "sh", "-c", COUNTER),
    )
    counter = Counter(box, "c", identity)
    counter.reading()
    box.run("checkpoint", "c")
    reached = counter.last()
    assert not skips_the_lock(counter), "the other may have connections to it"
    assert_undisturbed(host)
    host.moves()
    box.run("restore", "c")
    counter.moves(above=reached)
    assert_undisturbed(host)
    host.moves()
    box.run("rm", "-f", "-t", "0", "c")


def skips_the_lock(counter: Counter) -> bool:
    """Whether its last checkpoint locked no network: it has one without an interface, and to itself."""
    return "network-lock skip" in (counter.bundle / "criu/criu.conf").read_text().splitlines()


def test_the_administrators_settings_hold(box: Box, tree: Path, tmp_path: Path) -> None:
    """Our configuration replaces the runtime's own file, so it brings its lines, for dump and restore."""
    counter = start_counter(box, tree)
    note = tmp_path / "stages"
    with administrators_script(box.runtime, f"echo $CRTOOLS_SCRIPT_ACTION >> {note}"):
        box.run("checkpoint", "c")
        box.run("restore", "c")
    counter.moves()
    stages = note.read_text().split()
    assert {"pre-dump", "network-lock", "post-dump", "pre-restore", "post-resume"} <= set(stages)


# --- archives -----------------------------------------------------------------------------------


def test_a_criu_that_does_not_stop_it_after_all(box: Box, tree: Path, tmp_path: Path) -> None:
    """CRIU runs our hook first, and takes a later script's word for it."""
    counter, archive = start_counter(box, tree), tmp_path / "c.tar.zst"
    with administrators_script(box.runtime, 'test "$CRTOOLS_SCRIPT_ACTION" != post-dump'):
        local = box.fail("checkpoint", "c", code="still-running")
        exported = box.fail("checkpoint", "-e", archive, "c", code="still-running")
    assert "has no checkpoint" in local["error"]
    assert "is complete" in exported["error"]
    counter.moves()
    assert_undisturbed(counter)
    box.run("rm", "-f", "-t", "0", "c")
    box.run("restore", "-i", archive)
    counter.moves()


@pytest.mark.parametrize("options", [(), ("--leave-running",)], ids=["", "leave-running"])
def test_a_criu_that_asks_twice_is_answered_twice(
    box: Box, tree: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """As 4.1.1 does at every stage; here the administrator's script, which CRIU runs as well, is our own."""
    counter = start_counter(box, tree)
    reached = counter.reading()
    with administrators_script(box.runtime, f"exec {counter.bundle}/criu/hook"):
        box.run("checkpoint", "-e", tmp_path / "c.tar.zst", *options, "c")
    box.run("rm", "-f", "-t", "0", "c")
    box.run("restore", "-i", tmp_path / "c.tar.zst")
    counter.moves(above=reached)


def test_export_then_restore_from_the_recorded_archive(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    assert archive.stat().st_mode & 0o777 == 0o600
    assert not (counter.bundle / "checkpoint").exists()
    reached = counter.last()
    aside = archive.rename(archive.with_suffix(".moved"))
    error = box.fail("restore", "c", code="destination-not-found")
    assert str(archive) in error["error"]
    archive.write_bytes(aside.read_bytes()[:-1])
    box.fail("restore", "c", code="archive-truncated")
    aside.rename(archive)
    box.run("restore", "c")
    counter.moves(above=reached)


def test_the_recorded_archive_must_be_of_this_container(one_box: Box, tree: Path, tmp_path: Path) -> None:
    for name in ("c", "d"):
        start_counter(one_box, tree, name=name)
        one_box.run("checkpoint", "-e", tmp_path / name, name)
    (tmp_path / "d").rename(tmp_path / "c")
    one_box.fail("restore", "c", code="archive-replaced")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_every_compression_travels(box: Box, tree: Path, compression: str) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar"
    box.run("checkpoint", "-e", archive, "-c", compression.upper(), "c")
    begins = {"zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b", "none": b"config.dump\0"}
    assert archive.read_bytes().startswith(begins[compression])
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    counter.moves()


def test_through_a_pipe(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    done = box.call("checkpoint", "-e", "-", "c")
    assert done.returncode == 0, done.stderr
    assert done.stdout[:4] == b"\x28\xb5\x2f\xfd", "standard output holds the archive and nothing else"
    error = box.fail("restore", "c", code="no-checkpoint")
    assert "went to standard output" in error["error"]
    reached = counter.last()
    box.run("rm", "c")
    box.run("restore", "-i", "-", stdin=done.stdout)
    counter.moves(above=reached)


def test_a_copy_gets_a_name_and_an_id_of_its_own(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-R", "-e", archive, "c")
    identity = box.run("restore", "-i", archive, "-n", "copy")
    assert box.inspect("copy")["Id"] == identity != counter.id
    Counter(box, "copy", identity).moves()
    counter.moves()


def test_a_container_made_to_be_removed(box: Box, tree: Path) -> None:
    """It goes when its archive is whole, and again when it has been restored and ends."""
    counter = start_counter(box, tree, "--rm")
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    assert box.containers() == []
    box.run("restore", "-i", archive)
    counter.moves()
    box.run("kill", "c")
    wait_for(lambda: box.containers() == [], "it to be removed")


def test_a_restored_container_can_be_checkpointed_again(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    reached = 0
    for round_ in range(3):
        archive = box.root / f"{round_}.tar.zst"
        box.run("checkpoint", "-e", archive, "c")
        box.run("rm", "c")
        box.run("restore", "-i", archive)
        reached = counter.moves(above=reached)
    assert_every_line_once(counter)


def test_podman_and_checkpointctl_read_the_archive(box: Box, tree: Path) -> None:
    counter = start_counter(box, tree)
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    shown = subprocess.run(["checkpointctl", "show", archive], capture_output=True, text=True, check=True).stdout
    assert counter.id[:12] in shown
    inspected = subprocess.run(
        ["checkpointctl", "inspect", "--all", archive], capture_output=True, text=True, check=False
    )
    assert inspected.returncode == 0, inspected.stderr


# --- what belongs together ----------------------------------------------------------------------

ALL_PLACES = """
rm -f /etc/group; i=0
while :; do
    i=$((i+1))
    for place in /tmp /data /dev/shm; do echo $i > $place/new; mv $place/new $place/n; done
done
"""


def test_files_memory_and_shm_agree(box: Box, image: str) -> None:
    """What the container wrote to its root, a volume and /dev/shm is of the same instant as its memory."""
    words = ("--name", "c", "--network", "none", "-v", "store:/data", "-v", "store:/again", image)
    counter = Counter(box, "c", box.run("run", "-d", *words, "sh", "-c", ALL_PLACES))
    counter.reading()
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("volume", "rm", "store")
    box.run("restore", "-i", archive)
    box.run("pause", "c")
    places = (counter.bundle / "layer/merged/tmp", box.root / "volumes/store/_data", counter.bundle / "shm")
    values = [int((place / "n").read_text()) for place in places]
    assert max(values) - min(values) <= 1, values
    assert not (counter.bundle / "layer/merged/etc/group").exists()
    box.run("unpause", "c")
    counter.moves(above=values[0])
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
    assert found["podman_restore_duration"] >= one["runtime_restore_duration"] > 0
    assert one["criu_statistics"]["pages_restored"] > 0


def test_progress_is_told_in_bytes(one_box: Box, tree: Path) -> None:
    start_counter(one_box, tree)
    done = one_box.call("checkpoint", "-e", one_box.root / "c.tar", "--progress", "json", "c")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    assert told[-1]["container"] == "c"
    assert told[-1]["done_bytes"] == told[-1]["total_bytes"] > 100_000


# --- the network --------------------------------------------------------------------------------


def test_networked_container_keeps_its_address(box: Box, image: str) -> None:
    counter = Counter(box, "c", box.run("run", "-d", "--name", "c", image, "sh", "-c", COUNTER))
    counter.reading()
    before = box.inspect("c")["NetworkSettings"]["Networks"]["pyodcr"]
    archive = box.root / "c.tar.zst"
    box.run("checkpoint", "-e", archive, "c")
    box.run("rm", "c")
    box.run("restore", "-i", archive)
    after = box.inspect("c")["NetworkSettings"]["Networks"]["pyodcr"]
    assert (after["IPAddress"], after["MacAddress"]) == (before["IPAddress"], before["MacAddress"])
    counter.moves()
    assert_undisturbed(counter)
