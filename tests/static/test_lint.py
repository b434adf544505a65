"""The linters are tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "argv",
    [
        ("ruff", "format", "--check", ".", "tools/testhost"),
        ("ruff", "check", ".", "tools/testhost"),
        ("mypy", "pyodcr", "tests", "tools", "plugins", "bench"),
    ],
    ids=" ".join,
)
def test_lint(argv: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
