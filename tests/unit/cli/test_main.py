"""The process: what it says of typing errors, closed streams and full disks, and whom it lets read its state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYODCR = (sys.executable, "-m", "pyodcr")


@pytest.fixture
def pyodcr(tmp_path: Path) -> tuple[str, ...]:
    return (*PYODCR, "--root", str(tmp_path / "deep/root"), "--runroot", str(tmp_path / "run"))


def run(arguments: tuple[str, ...], redirection: str = "") -> subprocess.CompletedProcess[str]:
    shell = ("sh", "-c", f'"$@" {redirection}', "sh", *arguments)
    return subprocess.run(shell, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("chekpoint",), 'error: pyodcr has no command "chekpoint"\nhint: did you mean checkpoint?\n'),
        (("volume", "lss"), 'error: pyodcr volume has no command "lss"\nhint: did you mean ls?\n'),
        (("zzz",), 'error: pyodcr has no command "zzz"\nhint: pyodcr --help lists them\n'),
        (("run",), "error: missing argument 'IMAGE'\nhint: pyodcr run --help\n"),
        (("--config", "/", "ps"), "error: cannot read /: is a directory\n"),
    ],
)
def test_typing_errors(words: tuple[str, ...], says: str) -> None:
    done = run((*PYODCR, *words))
    assert (done.returncode, done.stderr) == (125, says)


def test_a_typing_error_for_scripts() -> None:
    done = run(("env", "PYODCR_ERROR_FORMAT=json", *PYODCR, "run"))
    assert json.loads(done.stderr)["code"] == "usage"


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(pyodcr: tuple[str, ...], redirection: str) -> None:
    done = run((*pyodcr, "ps"), redirection)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_no_bug(pyodcr: tuple[str, ...]) -> None:
    done = run((*pyodcr, "ps"), ">/dev/full")
    assert (done.returncode, done.stderr) == (125, "error: cannot write: no space left on device\n")


def test_the_state_is_for_its_owner_alone(pyodcr: tuple[str, ...], tmp_path: Path) -> None:
    tmp_path.joinpath("deep/root").mkdir(parents=True, mode=0o755)  # a file system of its own, say
    assert run((*pyodcr, "ps"), "").returncode == 0
    assert os.stat(tmp_path / "deep/root/state.sqlite").st_mode & 0o077 == 0


def test_missing_parents_are_for_their_owner_alone(pyodcr: tuple[str, ...], tmp_path: Path) -> None:
    assert run((*pyodcr, "ps"), "").returncode == 0
    assert (tmp_path / "deep").stat().st_mode & 0o077 == 0
