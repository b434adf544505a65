"""The space that is kept for the state database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyodcr.lifecycle import reserve
from pyodcr.lifecycle.reserve import PLENTY_BYTES, SCARCE_BYTES, Act, decide


@pytest.mark.parametrize(
    ("free_bytes", "held", "act"),
    [
        (0, True, Act.GIVE_UP),
        (SCARCE_BYTES - 1, True, Act.GIVE_UP),
        (SCARCE_BYTES, True, Act.NOTHING),
        (PLENTY_BYTES + 1, True, Act.NOTHING),
        (0, False, Act.NOTHING),
        (PLENTY_BYTES, False, Act.NOTHING),
        (PLENTY_BYTES + 1, False, Act.MAKE),
    ],
)
def test_what_to_do(free_bytes: int, held: bool, act: Act) -> None:
    assert decide(free_bytes, held=held) is act


def test_it_takes_space_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve.settle(tmp_path)
    made = (tmp_path / reserve.NAME).stat()
    assert made.st_blocks * 512 >= reserve.SIZE_BYTES
    monkeypatch.setattr(reserve, "_free_bytes", lambda _: 0)
    assert reserve.is_full(tmp_path)
    reserve.settle(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_does_not_answer_is_no_error(tmp_path: Path) -> None:
    reserve.settle(tmp_path / "gone")
    assert not reserve.is_full(tmp_path / "gone")
