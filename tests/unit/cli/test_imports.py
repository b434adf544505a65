"""What a short command loads: a list of modules is the same on every machine, a clock is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = frozenset(
    [
        *("boto3", "botocore", "rich", "pydantic", "asyncio", "zstandard", "google", "pycriu", "tqdm"),
        *("importlib.metadata", "tarfile", "http", "ssl", "ctypes", "tempfile", "hashlib", "tomllib"),
        *("pyodcr.checkpoint", "pyodcr.cli.template", "pyodcr.lifecycle.storage", "pyodcr.lifecycle.network"),
        *("pyodcr.lifecycle.conmon", "pyodcr.lifecycle.recovery", "pyodcr.lifecycle.spec", "pyodcr.process"),
    ]
)
# what only the commands that look at no container may not load
HEAVIEST = HEAVY - {"ctypes", "tempfile", "hashlib"}
DRIVER = """
import sys
from pyodcr.__main__ import run
status = run(sys.argv[1:])
print("\\n".join(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def loaded(tmp_path: Path, *words: str) -> set[str]:
    argv = [sys.executable, "-c", DRIVER, "--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["ps"], ["ps", "--all", "--quiet"], ["ps", "--format", "json"]])
def test_ps_loads_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    modules = loaded(tmp_path, *words)
    assert "pyodcr.cli.ps" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["events", "--no-stream"]])
def test_nor_do_other_short_commands(tmp_path: Path, words: list[str]) -> None:
    modules = loaded(tmp_path, *words)
    assert "pyodcr.cli.app" in modules
    assert not modules & HEAVIEST
