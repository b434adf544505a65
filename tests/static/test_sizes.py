"""A module that nobody can hold in their head is two modules."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = {"pyodcr": 600, "plugins": 600, "tools": 600, "bench": 600, "tests": 800}  # cases in a row read easily


@pytest.mark.parametrize("place", MOST_LINES)
def test_no_module_is_too_long(place: str) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / place).rglob("*.py")}
    too_long = {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > MOST_LINES[place]}
    assert not too_long


def test_the_search_finds_modules() -> None:
    assert ROOT / "pyodcr/lifecycle/ops/start.py" in set((ROOT / "pyodcr").rglob("*.py"))
