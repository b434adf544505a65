"""Staging directories belong to a process, and are swept when it is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyodcr.lifecycle.storage import staging


def test_a_directory_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    with staging.directory(tmp_path / "s") as one, staging.directory(tmp_path / "s") as two:
        assert one != two
        (one / "deep/er").mkdir(parents=True)
    assert os.listdir(tmp_path / "s") == []


def test_it_goes_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staging.directory(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    code = "import sys, os; from pathlib import Path; from pyodcr.lifecycle.storage import staging\n"
    code += "with staging.directory(Path(sys.argv[1])) as path:\n    (path / 'x').touch(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    (tmp_path / "foreign").mkdir()
    with staging.directory(tmp_path) as mine:
        assert len(os.listdir(tmp_path)) == 3
        staging.sweep(tmp_path)
        assert os.listdir(tmp_path) == [mine.name]
    staging.sweep(tmp_path / "never")
