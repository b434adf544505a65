from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyodcr import __version__
from pyodcr.checkpoint.hostcheck import CheckResult, Status
from pyodcr.cli import system
from pyodcr.errors import UsageError

RESULTS = [
    CheckResult("criu", Status.OK, "4.2", "suits kernel 6.1", ""),
    CheckResult("memory-tracking", Status.WARNING, "no", "no pre-checkpoints " * 8, "use another kernel " * 8),
    CheckResult("conmon", Status.FAILED, "", "not installed", "install conmon"),
    CheckResult("nothing", Status.OK, "", "", ""),
]


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_report_fits_its_columns(columns: int) -> None:
    heading, *lines = system.report(RESULTS, columns=columns)
    assert heading.split() == ["NAME", "STATUS", "FOUND"]
    assert all(len(line) <= columns for line in lines)
    assert lines[0] == "criu             ok       4.2: suits kernel 6.1"
    assert lines[-2].strip() == "-> install conmon"
    assert lines[-1].split() == ["nothing", "ok", "-"]
    words = " ".join(lines).split()
    assert words.count("pre-checkpoints") == words.count("another") == 8
    column = heading.index("FOUND")
    assert all(line[:column].isspace() for line in lines if line[0] == " ")


def test_yaml() -> None:
    facts = {"host": {"arch": "amd64", "cpus": 2, "up": True, "release": "6.1", "odd": "a: b", "no": "no"}, "l": ["x"]}
    assert list(system.as_yaml({**facts, "none": []})) == [
        "host:",
        "  arch: amd64",
        "  cpus: 2",
        "  up: true",
        '  release: "6.1"',
        '  odd: "a: b"',
        '  no: "no"',
        "l:",
        "- x",
        "none: []",
    ]


def test_version(said: Callable[..., str], found: Callable[..., Any]) -> None:
    shown = dict(line.split(":", 1) for line in said("version").splitlines())
    assert shown["pyodcr"].strip() == __version__
    assert shown["kernel"].strip() == os.uname().release
    assert found("version", "--format", "json")["Client"]["Version"] == __version__
    assert said("version", "--format", "{{.Client.Version}} {{.Version}}") == f"{__version__} {__version__}\n"


def test_info(said: Callable[..., str], found: Callable[..., Any], tmp_path: Path) -> None:
    shown = found("info", "--format", "json")
    assert shown["host"]["kernel"] == os.uname().release
    assert shown["host"]["memTotal"] > 1 << 20
    assert shown["store"]["graphRoot"] == str(tmp_path / "root")
    assert shown["store"]["containerStore"] == {"number": 0, "paused": 0, "running": 0, "stopped": 0}
    assert shown["store"]["imageStore"] == {"number": 0}
    assert said("system", "info", "--format", "{{.Store.RunRoot}}") == f"{tmp_path / 'run'}\n"
    assert f"  graphRoot: {tmp_path / 'root'}" in said("info").splitlines()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_prune_asks(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="there is nobody to ask"):
        said("system", "prune")
    for answer in ("", "\n", "n\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        monkeypatch.setattr("pyodcr.engine.Engine.prune", lambda _: pytest.fail("it was not agreed to"))
        assert said("system", "prune") == ""
