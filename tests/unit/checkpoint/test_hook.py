"""The conversation between CRIU's hook and the owner: a session leader stands for the runtime, its child for CRIU."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.checkpoint import hook, hook_client
from pyodcr.checkpoint.hook import HookServer, Question, write_hook
from pyodcr.linux import pidfd
from pyodcr.linux.cgroups import Freezer

Answer = Callable[[Question], bool]


@contextmanager
def criu(script: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A runtime whose CRIU runs ``script``; its exit status is the script's."""
    command = f"sh -c {shlex.quote(script)}; exit $?"
    runtime = subprocess.Popen(["sh", "-c", command], start_new_session=True, env=os.environ | variables)
    try:
        yield runtime
    finally:
        runtime.kill()
        runtime.wait()


def asking(directory: Path, *freezer: str | Path, then: str = "") -> str:
    words = [sys.executable, "-I", "-S", "-E", hook_client.__file__, str(directory), *map(str, freezer)]
    return f"{shlex.join(words)}; status=$?; {then} exit $status"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "hook"


def serve(
    server: HookServer, runtime: subprocess.Popen[bytes], answer: Answer, lost: Callable[[Question], None]
) -> int:
    try:
        server.serve(runtime.pid, answer, lost)
        return runtime.wait(10)
    finally:
        server.close()


def never(question: Question) -> None:
    raise AssertionError(f"lost at {question.stage}")


@pytest.mark.parametrize(("says", "status"), [(True, 0), (False, 1)])
def test_the_answer_is_the_exit_status(place: Path, says: bool, status: int) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> bool:
        asked.append(question)
        assert question.stands()
        return says

    server = HookServer(place)
    with criu(asking(place), CRTOOLS_SCRIPT_ACTION="post-dump") as runtime:
        assert serve(server, runtime, answer, never) == status
    assert [question.stage for question in asked] == ["post-dump"]
    assert not place.exists(), "nothing of it is left"


def test_the_cgroup_is_frozen_as_long_as_the_answer_takes(place: Path, tmp_path: Path) -> None:
    state = tmp_path / "freezer.state"
    state.write_text("THAWED")
    seen = []

    def answer(question: Question) -> bool:
        seen.append((question.stage, state.read_text()))
        return True

    for stage in ("pre-dump", "post-dump"):
        server = HookServer(place)
        with criu(asking(place, state, "FROZEN", "THAWED"), CRTOOLS_SCRIPT_ACTION=stage) as runtime:
            assert serve(server, runtime, answer, never) == 0
        assert state.read_text() == "THAWED"
    assert seen == [("pre-dump", "THAWED"), ("post-dump", "FROZEN")]


@pytest.mark.parametrize("damage", ["no freezer", "no owner"])
def test_it_fails_closed(place: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "freezer.state"
    if damage == "no owner":
        state.write_text("THAWED")
    script = asking(place, state, "FROZEN", "THAWED")
    done = subprocess.run(["sh", "-c", script], env=os.environ | {"CRTOOLS_SCRIPT_ACTION": "post-dump"}, check=False)
    assert done.returncode == 1
    assert not state.exists() or state.read_text() == "THAWED"


def test_an_owner_that_dies_has_refused(place: Path) -> None:
    server = HookServer(place)

    def answer(question: Question) -> bool:
        raise KeyboardInterrupt

    with criu(asking(place), CRTOOLS_SCRIPT_ACTION="post-dump") as runtime:
        with pytest.raises(KeyboardInterrupt):
            server.serve(runtime.pid, answer, never)
        assert runtime.wait(10) == 1
    server.close()


def test_what_takes_longer_than_it_may_is_refused(place: Path) -> None:
    """Both the hook and whoever makes the answer hear of it while that one is stuck."""
    called = threading.Event()

    def answer(question: Question) -> bool:
        if question.stage == "post-dump":
            assert called.wait(10)
            assert question.late
        return True

    def lost(question: Question) -> None:
        assert question.criu_lives
        called.set()

    script = f"export CRTOOLS_SCRIPT_ACTION=pre-dump; {asking(place).replace('exit $status', 'test $status = 0')} && "
    script += f"export CRTOOLS_SCRIPT_ACTION=post-dump && {asking(place)}"
    server = HookServer(place, max_frozen_s=2.0)  # the second hook is to have started by then
    with criu(script) as runtime:
        assert serve(server, runtime, answer, lost) == 1
    assert called.is_set()


def test_the_death_of_criu_is_told_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "HEARTBEAT_S", 60.0)
    called = threading.Event()

    def answer(question: Question) -> bool:
        os.kill(question.criu, signal.SIGKILL)
        assert called.wait(10)
        assert not question.stands()
        return True

    def lost(question: Question) -> None:
        assert not question.criu_lives
        called.set()

    server = HookServer(place)
    with criu(asking(place), CRTOOLS_SCRIPT_ACTION="post-dump") as runtime:
        assert serve(server, runtime, answer, lost) != 0


def test_a_hook_that_hears_nothing_refuses(place: Path) -> None:
    """As of an owner that is stopped; shortened to what a test can wait for."""
    client = place.parent / "client.py"
    source = Path(hook_client.__file__).read_text()
    assert "HEARTBEAT_LOST_S = 10.0" in source
    client.write_text(source.replace("HEARTBEAT_LOST_S = 10.0", "HEARTBEAT_LOST_S = 0.2"))
    server = HookServer(place)
    words = [sys.executable, "-I", "-S", "-E", str(client), str(place)]
    assert subprocess.run(words, env={"CRTOOLS_SCRIPT_ACTION": "post-dump"}, check=False, timeout=10).returncode == 1
    server.close()


def test_hooks_of_others_get_no_answer(place: Path) -> None:
    """Of another dump, or of a CRIU that is dead: they are not of the runtime's session."""
    server = HookServer(place)
    env = os.environ | {"CRTOOLS_SCRIPT_ACTION": "post-dump"}
    with criu("sleep 0.5") as runtime, subprocess.Popen(["sh", "-c", asking(place)], env=env) as stranger:
        server.serve(runtime.pid, lambda question: True, never)
        assert stranger.wait(10) == 1
    server.close()


def test_the_script_asks_at_two_stages_only(tmp_path: Path) -> None:
    freezer = Freezer(tmp_path / "freezer.state", "FROZEN", "THAWED")
    line = write_hook(tmp_path, tmp_path / "sockets", freezer)
    script = tmp_path / "hook"
    assert line == f"action-script {script}"
    for stage, status in (("network-lock", 0), ("post-resume", 0), ("pre-dump", 1), ("post-dump", 1)):
        env = os.environ | {"CRTOOLS_SCRIPT_ACTION": stage}
        assert subprocess.run([script], env=env, check=False).returncode == status, stage
    assert shlex.quote(str(freezer.file)) in script.read_text()


def test_serving_ends_with_the_last_of_runtime_and_criu(place: Path) -> None:
    """A runtime that is killed does not end its CRIU."""
    server = HookServer(place)
    order: list[str] = []

    def answer(question: Question) -> bool:
        if question.stage == "pre-dump":
            os.kill(runtime.pid, signal.SIGKILL)
            assert pidfd.wait(runtime.pid, 0, 10)
        order.append(question.stage)
        return True

    script = f"export CRTOOLS_SCRIPT_ACTION=pre-dump; {asking(place).replace('exit $status', 'sleep 0.3')}"
    began = time.monotonic()
    with criu(script) as runtime:
        server.serve(runtime.pid, answer, never)
        assert time.monotonic() - began >= 0.3
    server.close()
    assert order == ["pre-dump"]
