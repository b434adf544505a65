"""kill -9 in the middle of every verb: the next commands find a true state, get on with it, and nothing leaks.

For each verb its state-changing system calls are listed first (:mod:`tests.support.killing`); then it is run again
and killed as it enters one of them, for a sample of :data:`POINTS` evenly spread ones (``PYODCR_KILL_POINTS=1000``
takes them all). After each kill `ps` must work and what it shows must be so; then, in turn, the verb is tried
again, or the container is removed as it is.
"""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.__main__ import POLITE_SIGNALS, run
from pyodcr.lifecycle.db import Database
from pyodcr.linux import boot, cgroups
from tests.support.box import COUNTER, Box, files_left, wait_for
from tests.support.checkpoints import Counter, operations
from tests.support.killing import Step, changes, kill_at, sample

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

POINTS = int(os.environ.get("PYODCR_KILL_POINTS", "4"))
COUNTING = f'trap "exit 3" TERM; {COUNTER}'
Act = Callable[[], object]


class Killed:
    """A box with one container, c, on which a verb is killed again and again."""

    def __init__(self, box: Box, tree: Path, *options: str) -> None:
        self.box = box
        self.words = (*options, "--rootfs", f"{tree}:O", "sh", "-c", COUNTING)
        self.archive = box.root / "c.tar"

    def call(self, *words: str | Path) -> tuple[int, str]:
        """A command without the cost of a process of its own; its exit status, and all that it printed."""
        arguments = self.box.argv(*words)
        shown = io.StringIO()
        handlers = {number: signal.getsignal(number) for number in POLITE_SIGNALS}
        try:
            with redirect_stdout(shown), redirect_stderr(shown):
                status = run(arguments[arguments.index("pyodcr") + 1 :])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return status, shown.getvalue().strip()

    def run(self, *words: str | Path) -> str:
        status, shown = self.call(*words)
        assert status == 0, f"pyodcr {' '.join(map(str, words))}: {status} {shown}"
        return shown

    # --- how it is before, and what must be true of it at any time ------------------------------

    def statuses(self) -> dict[str, str]:
        shown = json.loads(self.run("ps", "-a", "--format", "json"))
        return {name: container["State"] for container in shown for name in container["Names"]}

    def state(self) -> dict[str, Any]:
        (found,) = json.loads(self.run("inspect", "c"))
        return dict(found)

    @property
    def counter(self) -> Counter:
        return Counter(self.box, "c", self.state()["Id"])

    def created(self) -> None:
        if "c" not in self.statuses():
            self.run("create", "--name", "c", "-v", "kept:/kept", "-v", "/anonymous", *self.words)

    def running(self) -> None:
        self.created()
        self.run("start", "c")
        self.counter.reading()

    def exited(self) -> None:
        self.running()
        self.run("stop", "-t", "0", "c")

    def paused(self) -> None:
        self.running()
        self.run("pause", "c")

    def checkpointed(self) -> None:
        self.running()
        self.run("checkpoint", "c")

    def archived(self) -> None:
        self.running()
        self.archive.unlink(missing_ok=True)
        self.run("checkpoint", "-e", self.archive, "c")

    def away(self) -> None:
        """In its archive alone."""
        if not self.archive.exists():
            self.archived()
        self.removed()

    def removed(self) -> None:
        if "c" in self.statuses():
            self.run("rm", "-f", "-v", "-t", "0", "c")
        if "kept" in self.run("volume", "ls", "-q").split():
            self.run("volume", "rm", "kept")
        self.left_nothing()

    def truth(self, *allowed: str) -> str:
        """The status of the container, which is what the kernel says of it; "" where there is none."""
        status = self.statuses().get("c", "")
        assert status in allowed
        if status:
            found = self.state()
            pid = found["State"]["Pid"]
            assert bool(pid and boot.start_time(pid)) is (status in ("initialized", "running", "paused", "stopping"))
        return status

    def left_nothing(self) -> None:
        wait_for(lambda: not files_left(self.box), f"files to be removed: {files_left(self.box)}")
        wait_for(lambda: not self._locks(), f"locks to be removed: {self._locks()}")
        assert operations(self.box) == []
        assert list((self.box.root / "volumes").glob("*")) == []
        ledger = self.box.runroot / "network/attachments.json"
        assert not ledger.exists() or not json.loads(ledger.read_text()).get("attachments")
        assert list(self.box.root.rglob(".*.tmp")) == []

    def _locks(self) -> list[Path]:
        return [path for path in (self.box.runroot / "locks").glob("*") if len(path.name) == 64]

    # --- the sweep ------------------------------------------------------------------------------

    def sweep(
        self, before: Act, verb: tuple[str | Path, ...], again: Act, *, points: int = POINTS, remove: bool = True
    ) -> None:
        """Kill ``verb``, after ``before``, at each sampled step; then do ``again``, or ``remove`` the container."""
        before()
        steps = changes(self.box, *verb)
        again()
        for turn, step in enumerate(sample(steps, points)):
            before()
            try:
                self._kill(step, verb, self.removed if remove and turn % 3 == 2 else again)
            except BaseException as error:
                error.add_note(f"killed at {step}: number {steps.index(step) + 1} of {len(steps)}")
                raise
        self.removed()

    def _kill(self, step: Step, verb: tuple[str | Path, ...], then: Act) -> None:
        kill_at(self.box, step, *verb)
        for status in self.statuses().values():
            assert status in ("created", "initialized", "running", "paused", "stopped", "exited", "removing")
        then()


@pytest.fixture
def make(make_box: Callable[[], Box], tree: Path) -> Callable[..., Killed]:
    def killed(runtime: str, *options: str) -> Killed:
        box = make_box()
        box.runtime = runtime
        return Killed(box, tree, *options)

    return killed


@pytest.fixture(params=["runc", "crun"])
def on_both(request: pytest.FixtureRequest, make: Callable[..., Killed]) -> Killed:
    return make(str(request.param), "--network", "none")


@pytest.fixture
def on_one(make: Callable[..., Killed]) -> Killed:
    return make("crun", "--network", "none")


@pytest.fixture(params=["runc", "crun"])
def networked(request: pytest.FixtureRequest, make: Callable[..., Killed]) -> Killed:
    return make(str(request.param), "-p", "127.0.0.1:18090:80")


def test_create(on_one: Killed) -> None:
    def again() -> None:
        on_one.truth("", "created")
        on_one.running()

    on_one.sweep(on_one.removed, ("create", "--name", "c", "-v", "kept:/kept", *on_one.words), again)


def test_start(networked: Killed) -> None:
    def again() -> None:
        networked.truth("created", "initialized", "running")
        networked.run("start", "c")
        networked.counter.moves()
        networked.removed()

    networked.sweep(networked.created, ("start", "c"), again, points=POINTS * 2)


def test_restart(on_one: Killed) -> None:
    def again() -> None:
        on_one.truth("running", "stopped", "exited", "initialized")
        on_one.run("start", "c")
        on_one.counter.moves()

    on_one.sweep(on_one.running, ("restart", "-t", "0", "c"), again)


@pytest.mark.parametrize("verb", [("stop", "-t", "0", "c"), ("stop", "c"), ("kill", "c")], ids=" ".join)
def test_stop_and_kill(on_one: Killed, verb: tuple[str, ...]) -> None:
    def again() -> None:
        on_one.truth("running", "stopped", "exited")
        on_one.run("stop", "-t", "0", "c")
        assert on_one.truth("exited")
        assert on_one.state()["State"]["ExitCode"] in (3, 137)

    on_one.sweep(on_one.running, verb, again, points=POINTS * 3 // 4)


def test_pause_and_unpause(on_one: Killed) -> None:
    def again() -> None:
        on_one.truth("running", "paused")
        frozen = cgroups.is_frozen(f"/pyodcr/{on_one.counter.id}")
        on_one.run("unpause" if frozen else "pause", "c")  # what is recorded is not believed
        assert on_one.truth("paused", "running") == ("running" if frozen else "paused")
        if not frozen:
            on_one.run("unpause", "c")
        on_one.counter.moves()

    on_one.sweep(on_one.running, ("pause", "c"), again, points=POINTS * 3 // 4)
    on_one.sweep(on_one.paused, ("unpause", "c"), again, points=POINTS * 3 // 4)


@pytest.mark.parametrize("force", [True, False])
def test_rm(on_one: Killed, force: bool) -> None:
    def again() -> None:
        status = on_one.truth("", "running", "stopped", "exited", "removing")
        if status == "removing":
            on_one.box.fail("start", "c", code="wrong-state")
        on_one.removed()

    if force:
        on_one.sweep(on_one.running, ("rm", "-f", "-v", "-t", "0", "c"), again)
    else:
        on_one.sweep(on_one.exited, ("rm", "-v", "c"), again)


@pytest.mark.parametrize("option", ["-i", "-d"])
def test_exec(on_one: Killed, option: str) -> None:
    def again() -> None:
        on_one.truth("running")
        on_one.box.run("exec", "c", "true")
        wait_for(lambda: not on_one.state()["ExecIDs"], "sessions to be forgotten")
        wait_for(lambda: not list(on_one.box.root.glob("containers/*/exec/*")), "their files to be removed")
        on_one.counter.moves()

    on_one.sweep(on_one.running, ("exec", option, "c", "true"), again, points=POINTS * 3 // 4)


# --- checkpoint and restore -----------------------------------------------------------------


def runs_or_can_be_restored(killed: Killed, reached: int) -> None:
    """Nothing of what it had counted is lost, wherever it is now."""
    if killed.truth("running", "paused", "stopped", "exited") != "exited":
        killed.call("pause", "c")  # the next verb mends what is half done, before it looks whether it may
        killed.call("unpause", "c")
    if killed.truth("running", "exited") == "exited":
        assert killed.state()["State"]["Checkpointed"]
        killed.run("restore", "c")
    killed.counter.moves(above=reached)
    killed.run("checkpoint", "c")
    killed.run("restore", "c")
    killed.counter.moves(above=reached)


def test_local_checkpoint(on_both: Killed) -> None:
    reached = 0

    def before() -> None:
        nonlocal reached
        on_both.running()
        reached = on_both.counter.moves()

    on_both.sweep(before, ("checkpoint", "c"), lambda: runs_or_can_be_restored(on_both, reached))


@pytest.mark.parametrize("options", [(), ("--leave-running",)], ids=["", "leave-running"])
def test_checkpoint_into_an_archive(on_one: Killed, options: tuple[str, ...]) -> None:
    reached, box, archive = 0, on_one.box, on_one.archive

    def before() -> None:
        nonlocal reached
        on_one.running()
        archive.unlink(missing_ok=True)
        reached = on_one.counter.moves()

    def again() -> None:
        runs_or_can_be_restored(on_one, reached)
        assert [path.name for path in box.root.iterdir() if "c.tar" in path.name] in ([], ["c.tar"])
        if archive.exists():  # then it is whole
            on_one.removed()
            on_one.run("restore", "-i", archive)
            on_one.counter.moves(above=reached)

    on_one.sweep(before, ("checkpoint", *options, "-e", archive, "c"), again)


@pytest.mark.parametrize("where", ["checkpointed", "archived"])
def test_restore(on_both: Killed, where: str) -> None:
    """Running it twice would let its files and its memory disagree: once it runs, its checkpoint is used up."""

    def again() -> None:
        status = on_both.truth("exited", "running")
        done, said = on_both.call("restore", "c")
        assert (done, "is running" in said) in ((0, False), (125, True)), (status, said)
        on_both.counter.moves()
        on_both.run("stop", "-t", "0", "c")
        on_both.box.fail("restore", "c", code="no-checkpoint")

    on_both.sweep(getattr(on_both, where), ("restore", "c"), again, points=POINTS * 3 // 4)


def test_import(networked: Killed) -> None:
    archive = networked.archive

    def again() -> None:
        status = networked.truth("", "created", "running", "exited", "initialized")
        done, said = networked.call("restore", "-i", archive)
        assert done == 0 or "already" in said, (status, said)
        networked.counter.moves()

    networked.sweep(networked.away, ("restore", "-i", archive), again)


# --- what is not a container ----------------------------------------------------------------


def test_volumes(on_one: Killed, tree: Path) -> None:

    def made() -> None:
        on_one.run("volume", "create", "--ignore", "v")
        use("test -d /home/app && touch /home/mine")

    def use(script: str) -> str:
        words = ("run", "--rm", "--network", "none", "-v", "v:/home", "--rootfs", f"{tree}:O", "sh", "-c", script)
        return on_one.box.run(*words)

    def is_whole() -> None:
        assert use("ls /home").split()[:1] == ["app"], "it is filled from the image"
        removed()

    def removed() -> None:
        if on_one.run("volume", "ls", "-q"):
            on_one.run("volume", "rm", "v")
        on_one.left_nothing()

    on_one.sweep(removed, ("volume", "create", "v"), is_whole, remove=False)
    on_one.sweep(made, ("volume", "rm", "v"), is_whole, remove=False)


def test_a_volume_is_filled_wholly(on_one: Killed, tree: Path) -> None:
    """Killed while the image's files are copied into it, the next use begins anew."""
    words = ("-v", "v:/bin", "--network", "none", "--rootfs", f"{tree}:O", "/bin/ls", "/bin")
    wanted = sorted(os.listdir(tree / "bin"))

    def unused() -> None:
        on_one.run("rm", "-af", "-t", "0")
        if on_one.run("volume", "ls", "-q"):
            on_one.run("volume", "rm", "v")

    def is_whole() -> None:
        assert sorted(on_one.box.run("run", "--rm", *words).split()) == wanted
        unused()

    on_one.sweep(unused, ("run", "--name", "c", *words), is_whole, remove=False)
    # the copying is done by a child, which no kill of the parent stops half way: make it so
    on_one.run("volume", "create", "v")
    (on_one.box.root / "volumes/v/_data/half").touch()
    with closing(Database(on_one.box.root / "state.sqlite")) as database:
        volume = database.volume("v")
        assert volume is not None
        database.put_volume(replace(volume, copying_up=True))
    is_whole()


def test_networks(on_one: Killed, tree: Path) -> None:
    box = on_one.box

    def works() -> None:
        on_one.call("network", "create", "n")
        on_one.box.run("run", "--rm", "--network", "n", "--rootfs", f"{tree}:O", "true")

    def removed() -> None:
        if "n" in on_one.run("network", "ls", "-q").split():
            on_one.run("network", "rm", "n")
        on_one.left_nothing()
        assert [path.name for path in (box.root / "networks").glob("*n*") if "pyodcr" not in path.name] == []

    on_one.sweep(removed, ("network", "create", "n"), works, remove=False)
    on_one.sweep(works, ("network", "rm", "n"), works, remove=False)
    removed()


def test_image_import(on_one: Killed, tarball: Path) -> None:
    box = on_one.box

    def removed() -> None:
        if on_one.run("image", "ls", "-q"):
            on_one.run("image", "rm", "--all")

    def works() -> None:
        on_one.run("image", "import", tarball, "localhost/i")
        on_one.box.run("run", "--rm", "--network", "none", "localhost/i", "true")
        removed()
        with closing(Database(box.root / "state.sqlite")) as database:
            assert database.containers() == []

    on_one.sweep(removed, ("image", "import", tarball, "localhost/i"), works, remove=False)
    on_one.run("image", "import", tarball, "localhost/i")  # sweeps what the last kill has left
    removed()
    left = [path for name in ("layers", "staging") for path in (box.root / "images").glob(f"{name}/*")]
    assert left == []
