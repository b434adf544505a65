from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyodcr.linux import holes

MIB = 1 << 20


def test_a_hole_gives_the_middle_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (4 * MIB))
    with path.open("r+b") as file:
        assert holes.punch(file.fileno(), MIB, 2 * MIB)
        os.fsync(file.fileno())
    assert path.stat().st_size == 4 * MIB
    assert path.stat().st_blocks * 512 < 3 * MIB
    assert path.read_bytes() == b"x" * MIB + bytes(2 * MIB) + b"x" * MIB


def test_what_has_no_holes_says_so() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as pipe:
        with pytest.raises(OSError, match=r"Illegal seek|No such device"):
            holes.punch(pipe.fileno(), 0, 1)
