"""Whoever dies, and at whatever stage of CRIU's work: the container runs, or all of it is in its checkpoint.

Nobody comes and helps, unless the guard is dead as well: then the next verb does.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.linux import mounts, processes
from tests.integration.conftest import RUNTIMES
from tests.support.box import Box, wait_for
from tests.support.checkpoints import (
    Counter,
    administrators_script,
    assert_undisturbed,
    guard_of,
    operations,
    start_counter,
)

pytestmark = pytest.mark.root

DUMP_STAGES = ("pre-dump", "network-lock", "post-dump", "network-unlock")
RUNNING_ON_STAGES = ("network-unlock",)  # CRIU comes to it only then
RESTORE_STAGES = ("pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume")
VICTIMS = ("criu", "runtime", "conmon", "owner", "owner guard", "criu owner", "runtime criu owner guard")

# each victim at each stage, and the two runtimes in turn: seven has no common divisor with two
CHECKPOINTS = (*itertools.product(DUMP_STAGES, VICTIMS, [True]), *itertools.product(["post-dump"], VICTIMS, [False]))
DUMPS = [(*case, runtime) for case, runtime in zip(CHECKPOINTS, itertools.cycle(RUNTIMES))]
RESTORES = [
    (*case, runtime) for case, runtime in zip(itertools.product(RESTORE_STAGES, VICTIMS), itertools.cycle(RUNTIMES))
]


class Scene:
    """A command whose CRIU waits at a stage: everybody who has a part in it."""

    def __init__(self, counter: Counter, command: subprocess.Popen[bytes], script: Path) -> None:
        self.command = command
        self._counter = counter
        self._script = script

    def pid(self, name: str) -> int:
        if name == "owner":
            return self.command.pid
        if name == "guard":
            return guard_of(*operations(self._counter.box))
        if name == "criu":  # the one that runs the script
            shells = processes.with_argument(str(self._script))  # one, and sometimes its child before it is `sleep`
            parents = {_parent(shell) for shell in shells}
            (criu,) = parents - set(shells)
            return criu
        words = ("checkpoint", "restore") if name == "runtime" else ("--full-attach",)
        return next(
            pid
            for pid in processes.with_argument(self._counter.id)
            if Path(processes.arguments(pid)[0]).name == (self._counter.box.runtime if name == "runtime" else name)
            and any(word in processes.arguments(pid) for word in words)
        )


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def standing_at(counter: Counter, stage: str, *words: str | Path) -> Iterator[Scene]:
    """CRIU runs a script of the administrator's at each stage: at this one it takes until the block is left."""
    block = f'test "$CRTOOLS_SCRIPT_ACTION" != {stage} || {{ : > "$0".here; while test -e "$0"; do sleep 0.02; done; }}'
    box = counter.box
    with administrators_script(box.runtime, block) as script:
        with box.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
            try:
                wait_for(lambda: script.with_name("script.here").exists() or command.poll() is not None, stage)
                assert command.poll() is None, command.stderr and command.stderr.read()
                yield Scene(counter, command, script)
            finally:
                script.unlink()
                command.communicate(timeout=60)


def strike(scene: Scene, victims: str) -> None:
    names = victims.split()
    pids = {name: scene.pid(name) for name in names}
    if "owner" in names:
        os.kill(pids["owner"], signal.SIGSTOP)  # it must not mend what dies before it does
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


def is_settled(box: Box) -> bool:
    return not operations(box)


def assert_whole(counter: Counter, archive: Path, reached: int) -> None:
    """It counts on where it was, by itself or from its checkpoint."""
    box = counter.box
    if box.state(counter.name) == "running":
        counter.moves(above=reached)
        assert_undisturbed(counter)
        return
    assert box.inspect(counter.name)["State"]["Checkpointed"] is True
    box.run("restore", counter.name)
    counter.moves(above=reached)
    assert_undisturbed(counter)
    assert not archive.with_name("c.tar.zst.tmp").exists()


@pytest.mark.parametrize(("stage", "victims", "exported", "runtime"), DUMPS)
def test_checkpoint(
    one_box: Box, tree: Path, tmp_path: Path, stage: str, victims: str, exported: bool, runtime: str
) -> None:
    one_box.runtime = runtime
    counter, archive = start_counter(one_box, tree), tmp_path / "c.tar.zst"
    reached = counter.reading()
    options: tuple[str | Path, ...] = ("-e", archive) if exported else ()
    options += ("--leave-running",) if stage in RUNNING_ON_STAGES else ()
    with standing_at(counter, stage, "checkpoint", *options, "c") as scene:
        strike(scene, victims)
    if "guard" in victims:
        one_box.run("system", "prune", "--force")
    wait_for(lambda: is_settled(one_box), "the operation to be closed")
    assert_whole(counter, archive, reached)


@pytest.mark.parametrize(("stage", "victims", "runtime"), RESTORES)
def test_restore(one_box: Box, tree: Path, tmp_path: Path, stage: str, victims: str, runtime: str) -> None:
    one_box.runtime = runtime
    counter, archive = start_counter(one_box, tree), tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-e", archive, "c")
    reached = counter.last()
    with standing_at(counter, stage, "restore", "c") as scene:
        strike(scene, victims)
    if "guard" in victims:
        one_box.run("system", "prune", "--force")
    wait_for(lambda: is_settled(one_box), "the operation to be closed", 60.0)
    assert_whole(counter, archive, reached)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_restore_is_interrupted(
    one_box: Box, tree: Path, tmp_path: Path, runtime: str, number: signal.Signals
) -> None:
    one_box.runtime = runtime
    counter, archive = start_counter(one_box, tree), tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-e", archive, "c")
    reached = counter.last()
    with standing_at(counter, "post-restore", "restore", "c") as scene:
        scene.command.send_signal(number)
        assert scene.command.wait(30) in (128 + number, -number)
        assert is_settled(one_box), "it cleaned up by itself"
    assert_whole(counter, archive, reached)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_restore_that_was_stopped_goes_on(one_box: Box, tree: Path, runtime: str) -> None:
    one_box.runtime = runtime
    counter = start_counter(one_box, tree)
    one_box.run("checkpoint", "c")
    reached = counter.last()
    with standing_at(counter, "post-restore", "restore", "c") as scene:
        scene.command.send_signal(signal.SIGSTOP)
        scene.command.send_signal(signal.SIGCONT)
    assert scene.command.returncode == 0
    counter.moves(above=reached)


@pytest.mark.parametrize("limit_mib", [16, 32, 64])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_out_of_memory(one_box: Box, tree: Path, tmp_path: Path, runtime: str, limit_mib: int) -> None:
    """pyodcr and CRIU in a control group that is too small for them, for some of them, or just large enough."""
    one_box.runtime = runtime
    counter, archive = start_counter(one_box, tree), tmp_path / "c.tar.zst"
    counter.box.run("exec", "c", "sh", "-c", "head -c 50000000 /dev/urandom > /dev/shm/ballast")
    reached = counter.reading()
    with limited(limit_mib) as prefix:
        one_box.prefix = prefix
        done = one_box.call("checkpoint", "-e", archive, "c")
        one_box.prefix = ()
        wait_for(lambda: is_settled(one_box), "the operation to be closed")
    assert b"Traceback" not in done.stderr
    assert_whole(counter, archive, reached)


@contextmanager
def limited(limit_mib: int) -> Iterator[tuple[str, ...]]:
    """The words before a command that is to run with so much memory, in control groups version 1 or 2."""
    root = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").is_dir() else Path("/sys/fs/cgroup")
    group = root / "small"
    group.mkdir()
    try:
        name = "memory.limit_in_bytes" if (group / "memory.limit_in_bytes").exists() else "memory.max"
        (group / name).write_text(str(limit_mib << 20))
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "its processes to end")
        group.rmdir()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_local_checkpoint_whose_owner_dies_when_it_has_answered(one_box: Box, tree: Path, runtime: str) -> None:
    """CRIU runs our hook before the administrator's script, so it has leave to kill already, and has not done it."""
    one_box.runtime = runtime
    counter = start_counter(one_box, tree)
    reached = counter.reading()
    with standing_at(counter, "post-dump", "checkpoint", "c") as scene:
        guard = guard_of(*operations(one_box))
        strike(scene, "owner")
        lock, name = one_box.runroot / "locks" / counter.id, Path(f"/proc/{guard}/comm").read_text().strip()
        wait_for(lambda: guard in processes.having_open(lock, name), "the guard to take over")
    wait_for(lambda: is_settled(one_box), "the operation to be closed")
    assert one_box.inspect("c")["State"]["Checkpointed"] is True
    one_box.run("restore", "c")
    counter.moves(above=reached)


def test_images_that_cannot_be_put_away_stay_where_they_are(one_box: Box, tree: Path) -> None:
    one_box.runtime = "runc"
    counter = start_counter(one_box, tree)
    reached = counter.reading()
    with standing_at(counter, "post-dump", "checkpoint", "c") as scene:
        strike(scene, "guard owner")
    in_the_way = counter.bundle / "checkpoint"
    in_the_way.mkdir()
    mounts.mount("tmpfs", in_the_way, "tmpfs")
    try:
        assert "a filesystem is mounted there" in one_box.fail("start", "c")["error"]
        assert not is_settled(one_box)
    finally:
        mounts.unmount(in_the_way)
    one_box.run("system", "prune", "--force")
    assert is_settled(one_box)
    one_box.run("restore", "c")
    counter.moves(above=reached)


def test_prune_tells_of_an_import_that_it_has_undone(one_box: Box, tree: Path, tmp_path: Path) -> None:
    one_box.runtime = "runc"
    counter, archive = start_counter(one_box, tree), tmp_path / "c.tar.zst"
    one_box.run("checkpoint", "-e", archive, "c")
    one_box.run("rm", "c")
    with standing_at(counter, "post-restore", "restore", "-i", archive) as scene:
        strike(scene, "guard owner")
        pruned = one_box.call("system", "prune", "--force")
    assert f"operation: restore of {counter.id}" in pruned.stdout.decode()
    assert pruned.stderr == b""
    assert one_box.containers() == []
