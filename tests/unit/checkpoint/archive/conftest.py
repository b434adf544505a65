from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pyodcr.checkpoint.archive import decode, writer


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything about large entries and threads, at a thousandth of the size."""
    monkeypatch.setattr(writer, "FRAME_BYTES", 4096)
    monkeypatch.setattr(writer, "SHARED_FRAME_BYTES", 2048)
    monkeypatch.setattr(decode, "SHARED_FRAME_BYTES", 2048)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("archive")]
