"""A working directory for one call, in a process that keeps its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyodcr.linux import workdir


def test_only_the_call_sees_it(tmp_path: Path) -> None:
    before = os.getcwd()
    seen = []
    workdir.call_in(tmp_path, lambda: seen.append(os.getcwd()))
    assert seen == [str(tmp_path)]
    assert os.getcwd() == before


def test_an_error_comes_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        workdir.call_in(tmp_path / "none", lambda: None)
    with pytest.raises(ZeroDivisionError):
        workdir.call_in(tmp_path, lambda: print(1 // 0))
