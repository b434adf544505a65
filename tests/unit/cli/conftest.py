"""The command line on a root of its own, in this process; nothing here needs to be root."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import typer
from typer.main import get_command

from pyodcr.cli.app import app

Said: TypeAlias = Callable[..., str]


@pytest.fixture
def status() -> list[int]:
    """The exit status of the last command."""
    return [0]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], status: list[int]) -> Said:
    """Run a command, and return what it printed; its errors are raised."""

    def run(*words: str) -> str:
        arguments = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), *words]
        capsys.readouterr()
        with contextlib.suppress(typer.Exit):
            status[0] = get_command(app).main(arguments, prog_name="pyodcr", standalone_mode=False) or 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def found(said: Said) -> Callable[..., Any]:
    """As ``said``, for commands that print JSON."""
    return lambda *words: json.loads(said(*words))
