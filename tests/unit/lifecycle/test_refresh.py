"""Observed beats recorded: real processes that end or go on, and the files that conmon would write."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr import jsonio
from pyodcr.config import Config
from pyodcr.lifecycle import refresh
from pyodcr.lifecycle.context import Context
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState, ExecSession, Status
from pyodcr.lifecycle.operations import Kind, opened
from pyodcr.linux import boot

ID = "a" * 64


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    made = Context(Config(root=tmp_path / "root", runroot=tmp_path / "run", cgroup_parent="/no-such-parent"))
    made.db.put_meta("boot", boot.boot_id())
    yield made
    made.close()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that lives until it is told to end."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        yield child


def add(ctx: Context, status: Status, *, pid: int = 0, conmon: int = 0, **state: Any) -> Container:
    config = ContainerConfig(id=ID, name="web", auto_remove=bool(state.pop("auto_remove", False)), runtime="crun")
    recorded = ContainerState(
        status=status,
        pid=pid,
        pid_started=boot.start_time(pid),
        conmon_pid=conmon,
        conmon_started=boot.start_time(conmon),
        **state,
    )
    return ctx.db.add(Container(config, recorded), "create")


def write_exit(ctx: Context, code: str) -> None:
    persist = ctx.paths.container(ID).persist
    persist.mkdir(parents=True, exist_ok=True)
    (persist / "exit").write_text(code)


def end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    child.wait(10)


ALIVE = [Status.RUNNING, Status.PAUSED, Status.STOPPING, Status.CREATED]


@pytest.mark.parametrize("status", ALIVE)
def test_the_exit_file_tells_how_it_ended(ctx: Context, process: subprocess.Popen[bytes], status: Status) -> None:
    container = add(ctx, status, pid=process.pid)
    end(process)
    write_exit(ctx, "7")
    (ctx.place(container).persist / "oom").touch()
    found = refresh.refresh(ctx, container)
    assert found == ctx.db.get(ID)
    assert (found.status, found.state.exit_code, found.state.exited) == (Status.STOPPED, 7, True)
    assert found.state.oom_killed
    assert (found.state.pid, found.state.conmon_pid) == (0, 0)
    assert found.state.finished_at is not None
    assert ctx.db.events()[-1][1].status == "died"


def test_a_container_that_lives_is_left_alone(ctx: Context, process: subprocess.Popen[bytes]) -> None:
    container = add(ctx, Status.RUNNING, pid=process.pid)
    assert refresh.refresh(ctx, container) is container
    assert refresh.shown(container, ctx.place(container)) is container


@pytest.mark.parametrize("status", [Status.CONFIGURED, Status.EXITED, Status.STOPPED, Status.REMOVING])
def test_what_does_not_run_is_not_looked_at(ctx: Context, status: Status) -> None:
    container = add(ctx, status)
    write_exit(ctx, "7")
    assert refresh.refresh(ctx, container) is container
    assert refresh.shown(container, ctx.place(container)) is container


def test_a_pid_that_came_again_is_another_process(ctx: Context) -> None:
    container = add(ctx, Status.RUNNING, pid=os.getpid())
    reborn = replace(container, state=replace(container.state, pid_started=container.state.pid_started - 1))
    assert refresh.refresh(ctx, reborn).status is Status.STOPPED


def test_without_a_monitor_the_exit_code_is_lost(ctx: Context, process: subprocess.Popen[bytes]) -> None:
    container = add(ctx, Status.RUNNING, pid=process.pid)
    end(process)
    found = refresh.refresh(ctx, container)
    assert (found.status, found.state.exit_code) == (Status.STOPPED, -1)
    assert "exit code is lost" in found.state.error


def test_a_monitor_gets_the_time_to_write_it_down(
    ctx: Context, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = add(ctx, Status.RUNNING, pid=process.pid, conmon=os.getpid())
    end(process)

    def conmon_writes(_: float) -> None:
        write_exit(ctx, "9")

    monkeypatch.setattr("time.sleep", conmon_writes)
    assert refresh.refresh(ctx, container).state.exit_code == 9


def test_a_monitor_that_hangs_is_not_waited_for_for_ever(
    ctx: Context, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "EXIT_FILE_WAIT_S", 0.05)
    container = add(ctx, Status.RUNNING, pid=process.pid, conmon=os.getpid())
    end(process)
    assert refresh.refresh(ctx, container).state.exit_code == -1


@pytest.mark.parametrize("text", ["", "x", "1x", " "])
def test_half_an_exit_file_is_none(ctx: Context, text: str) -> None:
    write_exit(ctx, text)
    assert refresh.exit_file(ctx.paths.container(ID)) is None


def test_shown_records_nothing(ctx: Context, process: subprocess.Popen[bytes]) -> None:
    container = add(ctx, Status.RUNNING, pid=process.pid)
    end(process)
    write_exit(ctx, "3")
    found = refresh.shown(container, ctx.place(container))
    assert (found.status, found.state.exit_code) == (Status.EXITED, 3)
    assert ctx.db.get(ID) == container


def test_nobody_stops_it_any_more(ctx: Context, process: subprocess.Popen[bytes]) -> None:
    me = {"stopper_pid": os.getpid(), "stopper_started": boot.own_start_time()}
    container = add(ctx, Status.STOPPING, pid=process.pid, **me)
    assert refresh.refresh(ctx, container).status is Status.STOPPING
    assert refresh.shown(container, ctx.place(container)).status is Status.STOPPING
    dead = replace(container, state=replace(container.state, stopper_started=1))
    assert refresh.shown(dead, ctx.place(container)).status is Status.RUNNING
    found = refresh.refresh(ctx, dead)
    assert (found.status, found.state.stopper_pid) == (Status.RUNNING, 0)


@pytest.mark.parametrize(
    ("was", "frozen", "becomes", "event"),
    [
        (Status.RUNNING, True, Status.PAUSED, "pause"),
        (Status.PAUSED, False, Status.RUNNING, "unpause"),
        (Status.RUNNING, False, Status.RUNNING, "create"),
        (Status.PAUSED, True, Status.PAUSED, "create"),
    ],
)
def test_the_freezer_knows_better(
    ctx: Context,
    process: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    was: Status,
    frozen: bool,
    becomes: Status,
    event: str,
) -> None:
    monkeypatch.setattr("pyodcr.linux.cgroups.is_frozen", lambda cgroup: frozen and cgroup.endswith(ID))
    container = add(ctx, was, pid=process.pid)
    assert refresh.refresh(ctx, container).status is becomes is ctx.db.get(ID).status
    assert ctx.db.events()[-1][1].status == event


@pytest.mark.parametrize(("said", "becomes"), [("created", Status.CREATED), ("running", Status.RUNNING)])
def test_the_runtime_knows_whether_it_was_started(
    tmp_path: Path, process: subprocess.Popen[bytes], said: str, becomes: Status
) -> None:
    program = tmp_path / "crun"
    program.write_text(f'#!/bin/sh\necho \'{{"status": "{said}", "pid": 1}}\'\n')
    program.chmod(stat.S_IRWXU)
    ctx = Context(Config(root=tmp_path / "root", runroot=tmp_path / "run", runtimes={"crun": str(program)}))
    container = add(ctx, Status.CREATED, pid=process.pid)
    found = refresh.refresh(ctx, container)
    assert found.status is becomes
    assert (found.state.started_at is not None) is (becomes is Status.RUNNING)
    ctx.close()


# --- after a reboot -------------------------------------------------------------------------


def rebooted(ctx: Context) -> Container:
    ctx.db.put_meta("boot", "the boot before")
    refresh.after_reboot(ctx)
    assert ctx.db.meta("boot") == boot.boot_id()
    return ctx.db.get(ID)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED, Status.STOPPING])
def test_what_ran_has_ended(ctx: Context, status: Status) -> None:
    add(ctx, status, pid=os.getpid(), conmon=os.getpid(), netns="/run/netns/x", mountpoint="/m", mount_count=2)
    found = rebooted(ctx).state
    assert (found.status, found.exited, found.exit_code) == (Status.EXITED, True, -1)
    assert (found.pid, found.conmon_pid, found.netns, found.mountpoint, found.mount_count) == (0, 0, "", "", 0)
    assert "restarted" in found.error
    assert found.finished_at is None


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (Status.CONFIGURED, Status.CONFIGURED),
        (Status.CREATED, Status.CONFIGURED),
        (Status.STOPPED, Status.EXITED),
        (Status.EXITED, Status.EXITED),
        (Status.REMOVING, Status.REMOVING),
    ],
)
def test_what_had_ended_keeps_its_end(ctx: Context, status: Status, becomes: Status) -> None:
    finished = jsonio.now()
    add(ctx, status, exit_code=3, finished_at=finished, checkpointed=True, checkpoint_path="/images")
    found = rebooted(ctx).state
    assert (found.status, found.exit_code, found.finished_at, found.error) == (becomes, 3, finished, "")
    assert (found.checkpointed, found.checkpoint_path) == (True, "/images"), "images outlive a reboot"


def test_commands_in_containers_are_forgotten(ctx: Context) -> None:
    add(ctx, Status.RUNNING)
    ctx.db.put_exec_session(ExecSession(id="s", container=ID, command=("true",)))
    rebooted(ctx)
    assert ctx.db.exec_sessions(ID) == []


def test_what_an_open_operation_holds_is_left_to_its_recovery(ctx: Context) -> None:
    add(ctx, Status.RUNNING, auto_remove=True)
    ctx.db.put_operation(opened(Kind.CHECKPOINT, ID))
    assert rebooted(ctx).status is Status.EXITED


def test_it_is_done_once(ctx: Context, process: subprocess.Popen[bytes]) -> None:
    container = add(ctx, Status.RUNNING, pid=process.pid)
    refresh.after_reboot(ctx)
    assert ctx.db.get(ID) == container


def test_names_of_the_boot_before_are_removed(ctx: Context) -> None:
    for directory in (ctx.paths.netavark, ctx.paths.runroot / "netns"):
        directory.mkdir(parents=True)
        (directory / "left").touch()
    add(ctx, Status.RUNNING)
    rebooted(ctx)
    assert not ctx.paths.netavark.exists()
    assert not (ctx.paths.runroot / "netns").exists()
