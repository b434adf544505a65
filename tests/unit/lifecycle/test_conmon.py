"""What conmon is told and what it answers; conmon itself runs in tests/integration."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr import jsonio
from pyodcr.config import Config
from pyodcr.errors import RuntimeFailed
from pyodcr.lifecycle import conmon
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.paths import ContainerPaths, Paths
from pyodcr.lifecycle.runtime import OciRuntime
from pyodcr.linux import processes

ID = "c" * 64
RUNTIME = OciRuntime("crun", Path("/usr/bin/crun"), Path("/run/crun"))


@pytest.fixture
def place(tmp_path: Path) -> ContainerPaths:
    return Paths(tmp_path / "root", tmp_path / "run").container(ID)


def test_the_exit_command_is_ours_and_finds_the_same_root() -> None:
    config = Config(root=Path("/r"), runroot=Path("/rr"), file=Path("/etc/mine.toml"))
    words = conmon.exit_command(config, "container", "cleanup", ID)
    assert words[0::2] == ["--exit-command", *["--exit-command-arg"] * (len(words) // 2 - 1)]
    assert words[1::2] == [
        sys.executable, "-P", "-m", "pyodcr", "--root", "/r", "--runroot", "/rr", "--config", "/etc/mine.toml",
        "container", "cleanup", ID,
    ]  # fmt: skip
    assert "--config" not in conmon.exit_command(Config(), "x")


@contextmanager
def answering(*packets: bytes) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        for packet in packets:
            theirs.send(packet)
        theirs.close()
        yield ours


def test_answers() -> None:
    with answering(b'{"data": 42}\n', b'{"data": -1, "message": "no"}') as sync:
        assert conmon.read_answer(sync) == (42, "")
        assert conmon.read_answer(sync) == (-1, "no")
        assert conmon.read_answer(sync) is None
    with answering(b'{"message": "nothing else"}') as sync:
        assert conmon.read_answer(sync) == (-1, "nothing else")


def log_line(level: str, message: str) -> str:
    return jsonio.dumps({"level": level, "msg": message, "time": "2026-01-01T00:00:00Z"})


@pytest.mark.parametrize(
    ("log", "message", "said"),
    [
        (log_line("error", "it broke"), "from conmon", "it broke"),
        (log_line("error", "first") + "\n" + log_line("fatal", "last"), "", "last"),
        (log_line("warning", "only a warning"), "from conmon", "from conmon"),
        ('{"msg": "crun writes no level"}', "", "crun writes no level"),
        ("half a li", "from conmon", "from conmon"),
        ("", "two\n  lines ", "two lines"),
        ("", "", "it did not say why"),
    ],
)
def test_the_runtimes_own_words(log: str, message: str, said: str) -> None:
    error = conmon.runtime_failed("crun", log, message)
    assert isinstance(error, RuntimeFailed)
    assert error.message == f"crun failed: {said}"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('exec: "nosuch": executable file not found in $PATH', "command-not-found"),
        ("executable file `nosuch` not found in $PATH: No such file or directory", "command-not-found"),
        ('exec: "/tmp": is a directory', "command-not-executable"),
        ("open executable: Permission denied", "command-not-executable"),
        ("container is already running", "runtime-failed"),
    ],
)
def test_126_and_127_are_told_apart(said: str, code: str) -> None:
    assert conmon.runtime_failed("crun", log_line("error", said), "").code == code


def test_no_answer_within_the_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(conmon, "POLL_S", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    polled: list[int] = []
    with ours, theirs, pytest.raises(RuntimeFailed) as caught:
        conmon._await_pid(ours, RUNTIME, tmp_path / "log", "web", look=lambda: polled.append(1), deadline_s=0.05)
    assert polled
    assert "web" in caught.value.message


def test_who_polls_may_give_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(conmon, "POLL_S", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def give_up() -> None:
        raise KeyError

    with ours, theirs, pytest.raises(KeyError):
        conmon._await_pid(ours, RUNTIME, tmp_path / "log", "web", look=give_up)


def test_leftovers_are_cleared(place: ContainerPaths) -> None:
    left = [place.bundle / name for name in ("attach", "ctl", "winsz")]
    left += [place.pid_file, place.oci_log, place.persist / "exit", place.persist / "oom", place.conmon_pid_file]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    place.spec.touch()
    conmon.clear_leftovers(place)
    conmon.clear_leftovers(place)
    assert [path for path in left if path.exists()] == []
    assert place.spec.exists()
    assert place.run.is_dir()
    assert place.persist.is_dir()


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_logs_are_written_in_the_one_format(place: ContainerPaths, driver: str) -> None:
    config = ContainerConfig(id=ID, name="web", log_driver=driver)
    assert conmon._log_words(config, place) == ["-l", f"k8s-file:{place.log}"]
    config = ContainerConfig(id=ID, name="web", log_driver=driver, log_path="/logs/web", log_size_bytes=1 << 20)
    assert conmon._log_words(config, place) == ["-l", "k8s-file:/logs/web", "--log-size-max", "1048576"]


def test_no_log(place: ContainerPaths) -> None:
    assert conmon._log_words(ContainerConfig(id=ID, name="web", log_driver="none"), place) == ["-l", "none"]


# --- the end of a monitor -------------------------------------------------------------------


@contextmanager
def monitor(place: ContainerPaths, name: str = "conmon", identity: str = ID) -> Iterator[int]:
    """A process that looks like one, with its pid written where it would be; gives its pidfd."""
    read, write = os.pipe()
    with subprocess.Popen([name, "-c", "cat; :", identity], executable="/bin/sh", stdin=read) as child:
        os.close(read)
        place.conmon_pid_file.parent.mkdir(parents=True, exist_ok=True)
        place.conmon_pid_file.write_text(str(child.pid))
        while identity not in processes.arguments(child.pid):  # it is still being executed
            pass
        fd = os.pidfd_open(child.pid)
        try:
            yield fd
        finally:
            os.close(write)
            os.close(fd)
            child.kill()


def is_dead(fd: int, *, within_s: float = 10.0) -> bool:
    return bool(select.select([fd], [], [], within_s)[0])


def config(**fields: str) -> ContainerConfig:
    return ContainerConfig(id=ID, name="web", **fields)  # type: ignore[arg-type]


def test_a_monitor_that_told_nothing_is_ended(place: ContainerPaths) -> None:
    with monitor(place) as fd:
        conmon.end(config(), place)
        assert is_dead(fd)
    conmon.end(config(), place)


def test_its_pid_may_be_where_the_user_wants_it(place: ContainerPaths, tmp_path: Path) -> None:
    with monitor(place) as fd:
        place.conmon_pid_file.rename(tmp_path / "pid")
        conmon.end(config(), place)
        assert not is_dead(fd, within_s=0)
        conmon.end(config(conmon_pid_file=str(tmp_path / "pid")), place)
        assert is_dead(fd)


def test_one_that_told_the_end_may_finish(place: ContainerPaths) -> None:
    """Its exit command is what may be calling us."""
    place.persist.mkdir(parents=True)
    (place.persist / "exit").write_text("0")
    with monitor(place) as fd:
        conmon.end(config(), place)
        assert not is_dead(fd, within_s=0)


@pytest.mark.parametrize(("name", "identity"), [("nginx", ID), ("conmon", "d" * 64)])
def test_whoever_else_has_that_pid_now_is_left_alone(place: ContainerPaths, name: str, identity: str) -> None:
    with monitor(place, name, identity) as fd:
        conmon.end(config(), place)
        assert not is_dead(fd, within_s=0)


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "1"])
def test_what_is_no_pid_of_a_monitor(place: ContainerPaths, text: str) -> None:
    place.conmon_pid_file.parent.mkdir(parents=True)
    place.conmon_pid_file.write_text(text)
    conmon.end(config(), place)
