"""Whatever goes wrong in a checkpoint: the container runs on, or its whole checkpoint exists; and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyodcr.lifecycle.operations import Stage
from tests.integration.conftest import RUNTIMES
from tests.support.box import Box, wait_for
from tests.support.checkpoints import (
    PERL_COUNTER,
    Counter,
    assert_undisturbed,
    at,
    blocked_dump,
    child_of,
    fifo,
    guard_of,
    held,
    kill,
    operations,
    perl_tree,
    start_counter,
    tampering,
    until_dead,
    whole_box,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=RUNTIMES)
def home(request: pytest.FixtureRequest, tree: Path) -> Iterator[Counter]:
    with whole_box(str(request.param)) as box:
        yield start_counter(box, tree)


@pytest.fixture
def survivor(home: Counter) -> Iterator[Counter]:
    """A counter that each test leaves counting on, with nothing of the test's checkpoint left."""
    before = home.reading()
    yield home
    home.box.run("exec", home.name, "true")  # the next verb, which recovers what a dead owner left
    home.moves(above=before)
    assert_undisturbed(home)


def saved_annotations(counter: Counter) -> Path:
    """Where the runtime keeps what it was told when the container was created."""
    state = Path("/run", counter.box.runtime, counter.id)
    return state / ("state.json" if counter.box.runtime == "runc" else "config.json")


# --- refused before anything is touched ---------------------------------------------------------


def test_a_runtime_that_was_not_told_of_the_hook_is_refused(survivor: Counter) -> None:
    """As of a container made by an older engine: CRIU would kill it without asking."""
    saved = saved_annotations(survivor)
    known = saved.read_text()
    assert "org.criu.config" in known
    saved.write_text(known.replace("org.criu.config", "org.criu.forgotten"))
    error = survivor.box.fail("checkpoint", survivor.name, code="hook-missing")
    assert survivor.name in error["error"]
    assert "restart" in error["hint"]
    saved.write_text(known)


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        ("", "criu-missing", "criu is not installed"),
        ("#!/bin/sh\necho Version: 3.17\n", "criu-too-old", "criu 3.17 is too old for kernel"),
    ],
    ids=["missing", "3.17"],
)
def test_an_unfit_criu_is_refused(survivor: Counter, tmp_path: Path, program: str, code: str, says: str) -> None:
    fake = tmp_path / "criu"
    fake.write_text(program)
    fake.chmod(0o700 if program else 0o600)
    criu = subprocess.run(["sh", "-c", "command -v criu"], capture_output=True, text=True, check=True).stdout.strip()
    survivor.box.prefix = ("unshare", "-m", "sh", "-ec", 'mount --bind "$0" "$1"; shift; exec "$@"', str(fake), criu)
    try:
        error = survivor.box.fail("checkpoint", survivor.name, code=code)
    finally:
        survivor.box.prefix = ()
    assert says in error["error"]
    assert "install" in error["hint"]
    assert not list(survivor.box.root.glob("**/dump.log")), "CRIU was not even started"


def test_a_place_where_the_hook_cannot_run_is_refused(survivor: Counter) -> None:
    place = survivor.bundle / "criu"
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,noexec", place], check=True)
        error = survivor.box.fail("checkpoint", survivor.name, code="noexec")
    finally:
        subprocess.run(["umount", place], check=True)
    assert str(place) in error["error"]


# --- the hook is gone when CRIU looks for it ----------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "rm $CRIU/hook",
        "chmod -x $CRIU/hook",
        "echo exit 7 > $CRIU/hook",
        "echo no-such-option >> $CRIU/criu.conf",
        "mount --bind $CRIU $CRIU; mount -o remount,bind,noexec $CRIU",
    ],
    ids=["missing", "not-executable", "refuses", "misspelt", "noexec"],
)
def test_a_broken_hook_is_a_refusal(survivor: Counter, damage: str) -> None:
    with tampering(survivor.box, damage):
        error = survivor.box.fail("checkpoint", survivor.name)
    subprocess.run(["umount", "-q", survivor.bundle / "criu"], check=False)
    if "no-such-option" not in damage:
        assert error["code"] == "criu-hook-refused"
        assert Path(error["details"]["log"]).is_file(), "the log is kept"
    elif survivor.box.runtime == "crun":
        assert error["code"] == "criu-config"
    else:  # runc keeps CRIU's words to itself
        assert error["error"].endswith("criu failed: type DUMP errno 56")


@pytest.mark.parametrize("damage", ["rm", "truncate -s 0"], ids=["missing", "empty"])
def test_a_dump_that_never_asked_loses_nothing(survivor: Counter, damage: str, tmp_path: Path) -> None:
    """CRIU kills a container unasked when its configuration goes missing at the last moment."""
    box, before = survivor.box, survivor.reading()
    box.run("exec", survivor.name, "sh", "-c", "echo kept > /dev/shm/note")
    archive = tmp_path / "c.tar"
    with tampering(box, f"{damage} $CRIU/criu.conf"):
        error = box.fail("checkpoint", "-e", archive, survivor.name, code="hook-skipped")
    assert "no archive was made" in error["error"]
    assert list(tmp_path.iterdir()) == []
    assert box.state(survivor.name) == "exited"
    box.run("restore", survivor.name)
    survivor.moves(above=before)
    assert box.run("exec", survivor.name, "cat", "/dev/shm/note") == "kept"


# --- deaths while it is held --------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["hook", "criu"])
def test_a_lost_hold_makes_no_archive(survivor: Counter, victim: str) -> None:
    """Without CRIU the container runs: an archive would hold memory and files of different instants."""
    with held(survivor) as checkpoint:
        pid = getattr(checkpoint, victim)
        os.kill(pid, signal.SIGKILL)
        until_dead(pid)
        status, said = checkpoint.ends()
    assert status == 125, said
    assert "while it held" in said
    survivor.moves()


def test_a_hold_that_is_lost_while_the_destination_hangs(survivor: Counter) -> None:
    """Nobody reads the pipe: the container runs on, and the command ends, all the same."""
    with held(survivor) as checkpoint:
        os.kill(checkpoint.criu, signal.SIGKILL)
        survivor.moves()
        _, said = checkpoint.command.communicate(timeout=30)
    assert checkpoint.command.returncode == 125
    assert b"while it held" in said


def test_no_longer_frozen_than_it_may_be(survivor: Counter) -> None:
    """Into a pipe that nobody reads, too."""
    with held(survivor, "--max-frozen", "1") as checkpoint:
        survivor.moves()
        _, said = checkpoint.command.communicate(timeout=30)
    assert checkpoint.command.returncode == 125
    assert b"frozen for longer than 1 s" in said


def test_an_owner_that_is_stopped_lets_it_run(survivor: Counter) -> None:
    """No heartbeat for ten seconds: then the hook refuses."""
    with held(survivor) as checkpoint:
        checkpoint.command.send_signal(signal.SIGSTOP)
        until_dead(checkpoint.criu)
        survivor.moves()
        checkpoint.command.send_signal(signal.SIGCONT)
        status, said = checkpoint.ends()
    assert status == 125, said
    assert "while it held" in said


def test_a_killed_runtime_changes_nothing(survivor: Counter) -> None:
    """CRIU outlives it and waits for the hook, whose answer decides."""
    box, before = survivor.box, survivor.reading()
    with held(survivor) as checkpoint:
        pid = checkpoint.runtime
        os.kill(pid, signal.SIGKILL)
        until_dead(pid)
        status, said = checkpoint.ends()
    assert (status, said) == (0, "")
    assert box.state(survivor.name) == "exited"
    box.run("rm", survivor.name)
    archive = box.root / "c.tar"
    archive.write_bytes(checkpoint.archive)
    box.run("restore", "-i", archive)
    archive.unlink()
    survivor.moves(above=before)


def test_criu_killed_while_it_dumps(survivor: Counter) -> None:
    """At the stage `network-lock` all is seized, and nothing written yet."""
    box = survivor.box
    with blocked_dump(survivor) as (command, criu):
        os.kill(criu, signal.SIGKILL)
        _, said = command.communicate(timeout=60)
    assert command.returncode == 125, said
    assert "Traceback" not in said.decode()
    assert box.state(survivor.name) == "running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_is_a_refusal(survivor: Counter, number: signal.Signals) -> None:
    with held(survivor) as checkpoint:
        checkpoint.command.send_signal(number)
        status, said = checkpoint.ends()
    # a KeyboardInterrupt that met CPython in exec() of a text (a dataclass being made) ends it by SIGINT itself
    assert status in (128 + number, *([-number] if number == signal.SIGINT else [])), said
    assert "Traceback" not in said
    assert operations(survivor.box) == [], "it cleaned up by itself"
    survivor.moves()


def test_others_are_told_that_it_is_busy(survivor: Counter) -> None:
    box = survivor.box
    with held(survivor) as checkpoint:
        assert survivor.name in box.run("ps")
        assert box.state(survivor.name) == "running"
        for verb in (("stop",), ("kill",), ("pause",), ("rm",), ("checkpoint",)):
            error = box.fail(*verb, survivor.name, code="busy")
            assert str(checkpoint.command.pid) in error["error"]
        checkpoint.command.terminate()
        checkpoint.ends()


# --- pyodcr itself is killed --------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["guarded", "guard killed too"])
def guarded(request: pytest.FixtureRequest, survivor: Counter) -> Iterator[bool]:
    """Who mends: the guard, at once and unasked, or the next verb, which comes with the end of ``survivor``."""
    yield bool(request.param)
    assert survivor.name in survivor.box.run("ps"), "ps waits for nothing"
    if request.param:
        wait_for(lambda: not operations(survivor.box), "the guard to close the operation")
        survivor.moves()


def test_killed_before_anything_was_frozen(survivor: Counter, guarded: bool) -> None:
    """In the middle of connecting to the destination: a FIFO without a reader."""
    box = survivor.box
    with fifo(box) as path, box.popen("checkpoint", "-e", path, survivor.name) as command:
        wait_for(lambda: at(box, Stage.PREPARING), "the operation")
        wait_for(lambda: child_of(command.pid, "guard.py"), "the guard")
        kill(box, command, guarded=guarded)


def test_killed_while_criu_dumps(survivor: Counter, guarded: bool) -> None:
    with blocked_dump(survivor) as (command, criu):
        kill(survivor.box, command, guarded=guarded)
    until_dead(criu)
    assert survivor.box.state(survivor.name) == "running"


def test_killed_while_held(survivor: Counter, guarded: bool) -> None:
    with held(survivor) as checkpoint:
        kill(survivor.box, checkpoint.command, guarded=guarded)
        until_dead(checkpoint.criu)


@pytest.mark.parametrize("first", ["criu", "owner"])
def test_killed_together_with_criu_while_held(survivor: Counter, guarded: bool, first: str) -> None:
    """Nobody rolls back: frozen, the network cut off, until somebody mends it."""
    with held(survivor) as checkpoint:
        if not guarded:
            os.kill(guard_of(*operations(survivor.box)), signal.SIGKILL)
        os.kill(checkpoint.command.pid, signal.SIGSTOP)  # it must not mend before it dies
        for pid in (checkpoint.criu, checkpoint.command.pid)[:: 1 if first == "criu" else -1]:
            os.kill(pid, signal.SIGKILL)


def test_killed_while_the_rest_is_stored(survivor: Counter, guarded: bool) -> None:
    """With --leave-running the container is long going on when the archive is written."""
    with held(survivor, "--leave-running") as checkpoint:
        survivor.moves()
        kill(survivor.box, checkpoint.command, guarded=guarded)
    if guarded:
        wait_for(lambda: not operations(survivor.box), "the guard to close the operation")
    assert survivor.box.run("checkpoint", "-R", survivor.name) == survivor.name
    assert survivor.bundle.joinpath("checkpoint/inventory.img").exists()


@contextmanager
def killed_before_the_answer(box: Box) -> Iterator[None]:
    """By the second message to a hook: the first answers the handshake."""
    box.prefix = ("strace", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:signal=SIGKILL:when=2")
    try:
        yield
    finally:
        box.prefix = ()


def test_killed_between_commit_and_answer(survivor: Counter, tmp_path: Path) -> None:
    """The archive is whole and the container runs."""
    box, archive = survivor.box, tmp_path / "c.tar.zst"
    with killed_before_the_answer(box):
        done = box.call("checkpoint", "-e", archive, survivor.name)
    assert done.returncode == 128 + signal.SIGKILL or done.returncode == -signal.SIGKILL
    wait_for(lambda: not operations(box), "the guard to close the operation")
    survivor.moves()
    copy = box.run("restore", "-i", archive, "-n", "copy")
    Counter(box, "copy", copy).moves()
    box.run("rm", "-f", "-t", "0", "copy")


@pytest.mark.parametrize("export", [True, False], ids=["exported", "kept here"])
def test_killed_after_the_answer(survivor: Counter, tmp_path: Path, export: bool) -> None:
    """CRIU kills the container, and nobody is there to record it: conmon's exit command, or the next verb, does."""
    box, before = survivor.box, survivor.reading()
    init = int(box.run("inspect", "--format", "{{.State.Pid}}", survivor.name))
    words = ("-e", tmp_path / "c.tar.zst") if export else ()
    with box.popen("checkpoint", *words, survivor.name) as command:
        until_dead(init)
        command.kill()
    box.run("restore", survivor.name)
    survivor.moves(above=before)


STOPPABLE = "i=0; while ! test -e /tmp/stop; do i=$((i+1)); echo $i > /tmp/n; sleep 0.05; done; exit 7"


@pytest.mark.parametrize("stage", [Stage.HOLDING, Stage.COMMITTED])
def test_an_end_after_a_killed_checkpoint_is_an_end(box: Box, tree: Path, stage: Stage) -> None:
    """Complete images are left, even a complete archive, and yet the container did not go into them."""
    counter = start_counter(box, tree, script=STOPPABLE)
    if stage is Stage.HOLDING:
        with held(counter) as checkpoint:
            kill(box, checkpoint.command, guarded=False)
            until_dead(checkpoint.criu)
        assert at(box, stage)
    else:
        with killed_before_the_answer(box):
            box.call("checkpoint", "-e", box.root / "c.tar", "c")
        wait_for(lambda: not operations(box), "the guard to close the operation")
    # the hook has thawed it, and refused; CRIU unlocked its network
    counter.moves()
    (counter.bundle / "layer/merged/tmp/stop").touch()
    assert box.run("wait", "c") == "7"
    wait_for(lambda: box.state("c") == "exited", "conmon's exit command to clean up")
    found = box.inspect("c")["State"]
    assert (found["Status"], found["ExitCode"], found.get("Checkpointed", False)) == ("exited", 7, False)
    box.fail("restore", "c", code="no-checkpoint")


# --- CRIU refuses -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def perl(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return perl_tree(tree, tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize(
    ("program", "code", "says", "hint"),
    [
        (
            'socket(S, 1, 1, 0) && connect(S, sockaddr_un("/peer/socket")) or die $!;',
            "criu-unix-socket",
            "a process is connected to a unix socket of another container or of the host",
            "close the connection first",
        ),
        ("socket(S, 40, 1, 0) or die $!;", "criu-failed", "Unknown socket collected (family 40)", None),
    ],
    ids=["known", "unknown"],
)
def test_what_criu_refuses_runs_on(
    box: Box, perl: Path, tmp_path: Path, program: str, code: str, says: str, hint: str | None
) -> None:
    """Only CRIU finds these: a peer outside of the container, and a kind of socket that it does not know."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        where = ("-d", "--name", "c", "--network", "none", "-v", f"{tmp_path}:/peer", "--rootfs", f"{perl}:O")
        identity = box.run("run", *where, "perl", "-MSocket", "-e", program + PERL_COUNTER)
        counter = Counter(box, "c", identity)
        before, peers = counter.reading(), []
        with suppress(BlockingIOError):  # the peer's end, which stays open
            peers.append(listener.accept())
        archive = tmp_path / "c.tar.zst"
        error = box.fail("checkpoint", "-e", archive, "c", code=code)
        assert says in error["error"]
        assert error["hint"] is None if hint is None else hint in error["hint"]
        assert says.split()[-1] in Path(error["details"]["log"]).read_text(), "the log is kept"
        assert error["details"]["lines"]
        counter.moves(above=before)
        assert_undisturbed(counter)
        assert not archive.exists()


def test_containers_with_dependencies_are_not_exported(one_box: Box, tree: Path, tmp_path: Path) -> None:
    first = start_counter(one_box, tree)
    second = start_counter(one_box, tree, "--ipc", "container:c", name="d")
    one_box.fail("checkpoint", "-e", tmp_path / "d.tar", "d", code="has-dependencies")
    second.moves()
    first.moves()


# --- no place to put it -------------------------------------------------------------------------


@contextmanager
def small_filesystem(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "small", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_at_the_destination(survivor: Counter, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "small", "64k") as place:
        error = survivor.box.fail("checkpoint", "-c", "none", "-e", place / "c.tar", survivor.name, code="no-space")
        assert str(place / "c.tar") in error["error"]
        assert "free some space" in error["hint"]
        assert list(place.iterdir()) == []


def test_a_full_disk_under_the_images(make_box: Callable[[], Box], runtime: str, tree: Path, tmp_path: Path) -> None:
    """CRIU puts a tmpfs of the container into its images; what is foreseen is told before anything is frozen."""
    with small_filesystem(tmp_path / "small", "12m") as place:
        box = make_box()
        box.root, box.runtime = place / "root", runtime
        counter = start_counter(box, tree, "--tmpfs", "/scratch")
        box.run("exec", "c", "dd", "if=/dev/urandom", "of=/scratch/noise", "bs=1M", "count=16")
        error = box.fail("checkpoint", "c", code="no-space")
        assert "free some space" in error["hint"]
        assert_undisturbed(counter)
        counter.moves()
        box.run("exec", "c", "rm", "/scratch/noise")
        subprocess.run(["dd", "if=/dev/zero", f"of={place}/filler", "bs=4k"], check=False, capture_output=True)
        error = box.fail("checkpoint", "c")
        assert error["code"] in ("no-space", "database", "criu-no-space"), error
        (place / "filler").unlink()
        box.run("exec", "c", "true")
        assert_undisturbed(counter)
        counter.moves()
        box.run("checkpoint", "c")
        box.clean()


def test_places_where_no_archive_can_be(survivor: Counter, tmp_path: Path) -> None:
    box = survivor.box
    error = box.fail("checkpoint", "-e", tmp_path / "no/c.tar", survivor.name, code="destination-not-found")
    assert f"{tmp_path}/no" in error["error"]
    error = box.fail("checkpoint", "-e", tmp_path, survivor.name, code="destination-failed")
    assert "is a directory" in error["error"]
    with small_filesystem(tmp_path / "small", "1m") as place:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        error = box.fail("checkpoint", "-e", place / "c.tar", survivor.name, code="destination-denied")
        assert "read-only" in error["error"]
    error = box.fail("checkpoint", "-e", "ftp://host/c.tar", survivor.name, code="usage")
    assert "ftp" in error["error"]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "small"]


def test_readers_that_go_away(survivor: Counter) -> None:
    """Standard output is a pipe nobody reads, and one whose reader has enough after the first bytes."""
    for wanted in (0, 100):
        reading, writing = os.pipe()
        words = ("checkpoint", "-c", "none", "-e", "-", survivor.name)
        with survivor.box.popen(*words, stdout=writing, stderr=subprocess.PIPE) as command:
            os.close(writing)
            if wanted:
                os.read(reading, wanted)
            os.close(reading)
            _, said = command.communicate(timeout=60)
        assert command.returncode == 125
        assert "cannot write -: broken pipe" in said.decode()
        survivor.moves()


# --- what makes no sense ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-c", "gzip", "c"), "--compress can only be used with --export"),
        (
            ("-c", "lzma", "-e", "x", "c"),
            'selected compression algorithm ("lzma") not supported. Please select one from: gzip, none, zstd',
        ),
        (("--ignore-rootfs", "c"), "--ignore-rootfs can only be used with --export"),
        (("--ignore-volumes", "c"), "--ignore-volumes can only be used with --export"),
        (("-a", "c"), "no arguments are needed with --all"),
        ((), "you must provide at least one name or id"),
        (("-e", "x", "c", "d"), "--export takes one container"),
        (("-e", "x/", "c"), "x/ names a directory, not an archive"),
        (("-e", "s3://bucket", "c"), "s3://bucket names no object"),
        (("-e", "s3://key:secret@bucket/c", "c"), "an s3:// URL holds no credentials"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_make_no_sense(one_box: Box, words: tuple[str, ...], says: str) -> None:
    error = one_box.fail("checkpoint", *words, code="usage")
    assert says in error["error"]
    assert "secret" not in str(error)


def test_states_and_names_that_make_no_sense(one_box: Box, tree: Path) -> None:
    one_box.fail("checkpoint", "nobody", code="not-found")
    one_box.run("create", "--name", "idle", "--network", "none", "--rootfs", f"{tree}:O", "true")
    one_box.fail("checkpoint", "idle", code="wrong-state")
    one_box.fail("restore", "idle", code="no-checkpoint")
    counter = start_counter(one_box, tree, "--rm")
    error = one_box.fail("checkpoint", "c", code="usage")
    assert "'--rm' unless '--export' is used" in error["error"]
    one_box.fail("restore", "c", code="wrong-state")
    one_box.run("pause", "c")
    error = one_box.fail("checkpoint", "c", code="wrong-state")
    assert "unpause" in error["hint"]
    one_box.run("unpause", "c")
    counter.moves()


def test_a_root_that_criu_cannot_read(make_box: Callable[[], Box], tree: Path) -> None:
    box = make_box()
    box.root = box.root / "with blank"
    counter = start_counter(box, tree)
    error = box.fail("checkpoint", "c", code="root-unspeakable")
    assert "--root" in error["hint"]
    counter.moves()
    box.clean()
