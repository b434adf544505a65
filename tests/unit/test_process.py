"""The one door to other programs: what reaches them, what comes back, and that no child is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyodcr import process
from pyodcr.errors import CommandFailed, RuntimeFailed, SystemFailed, ToolNotFound


def children() -> frozenset[int]:
    """Of this process, that is of every test that ran in it before."""
    return frozenset(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def test_output_and_status() -> None:
    result = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (result.status, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert process.run(["true"]).status == 0


def test_a_failure_carries_the_last_words() -> None:
    with pytest.raises(CommandFailed) as caught:
        process.run(["sh", "-c", "echo first >&2; echo 'it broke' >&2; echo >&2; exit 4"])
    error = caught.value
    assert (error.message, error.status, error.code) == ("sh failed: it broke", 4, "command-failed")
    assert error.details["argv"] == ["sh", "-c", "echo first >&2; echo 'it broke' >&2; echo >&2; exit 4"]
    with pytest.raises(RuntimeFailed) as other:
        process.run(["false"], failure=RuntimeFailed)
    assert other.value.message == "false failed: exit status 1"


def test_a_signal_is_a_negative_status() -> None:
    assert process.run(["sh", "-c", "kill -9 $$"], check=False).status == -signal.SIGKILL


def test_input() -> None:
    assert process.run(["cat"], stdin=b"typed").stdout == "typed"
    assert process.run(["cat"]).stdout == "", "there is nothing to read unless it is given"
    with open("/dev/null", "rb") as empty:
        assert process.run(["cat"], stdin=empty).stdout == ""


def test_bytes_that_are_no_text() -> None:
    assert process.run(["printf", r"a\377b"]).stdout == "a�b"


def test_only_chosen_variables_reach_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    lines = process.run(["env"], env={"EXTRA": "1"}).stdout.splitlines()
    assert "AWS_SECRET_ACCESS_KEY=secret" not in lines
    assert {"HOME=/home/somebody", "LC_ALL=C.UTF-8", "EXTRA=1"} <= set(lines)
    assert not any(line.startswith("LANG=") for line in lines)


def test_programs_are_found_where_cron_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert process.which("sh") is not None
    assert process.run(["sh", "-c", "echo here"]).stdout == "here\n"
    monkeypatch.delenv("PATH")
    assert process.environment()["PATH"] == process.DEFAULT_PATH


def test_a_program_that_is_not_installed() -> None:
    with pytest.raises(ToolNotFound) as caught:
        process.run(["no-such-program-anywhere"])
    assert (caught.value.code, caught.value.details["tool"]) == ("tool-not-found", "no-such-program-anywhere")
    with pytest.raises(ToolNotFound):
        process.require("/no/such/program", hint="build it")


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("this is no program")
    script.chmod(0o755)
    with pytest.raises(SystemFailed) as caught:
        process.run([script])
    assert str(script) in caught.value.message


def test_a_directory_that_is_gone_is_not_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught:
        process.run(["true"], cwd=tmp_path / "gone")
    assert str(tmp_path / "gone") in caught.value.message


def test_too_slow_is_killed() -> None:
    before = children()
    with pytest.raises(CommandFailed) as caught:
        process.run(["sh", "-c", "while :; do :; done"], timeout_s=0.05)
    assert caught.value.status == -signal.SIGKILL
    assert children() <= before


def test_an_exception_takes_the_child_with_it() -> None:
    with pytest.raises(KeyError), process.spawn(["cat"], stdin=subprocess.PIPE) as child:
        raise KeyError
    assert child.returncode == -signal.SIGKILL
    assert child.pid not in children()


def test_the_end_of_the_block_waits_for_the_child(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with process.spawn(["sh", "-c", f"cat < {fifo}; exit 5"]) as child:
        with fifo.open("w"):
            assert child.poll() is None
    assert child.returncode == 5
    assert child.pid not in children()


def test_a_session_of_its_own() -> None:
    ours = os.getsid(0)
    script = "import os; print(os.getsid(0))"
    assert int(process.run([sys.executable, "-c", script]).stdout) == ours
    with process.spawn([sys.executable, "-c", script], stdout=subprocess.PIPE, new_session=True) as child:
        assert child.stdout is not None
        assert int(child.stdout.read()) == child.pid


def test_descriptors_are_passed_on_only_when_named() -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        look = ["sh", "-c", f"test -e /proc/self/fd/{read}"]
        assert process.run(look, check=False).status == 1
        assert process.run(look, check=False, pass_fds=[read]).status == 0
    finally:
        os.close(read)
        os.close(write)
