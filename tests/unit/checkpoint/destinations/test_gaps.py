from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint.archive.streams import write_all
from pyodcr.checkpoint.destinations.base import Bytes, ObjectInfo, Upload
from pyodcr.checkpoint.destinations.gaps import BLOCK_BYTES, Spool, drop, patient, release
from pyodcr.errors import SystemFailed
from pyodcr.jsonio import now


class InOrder:
    """An upload as a pipe is one: what came, in the order it came."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: Bytes) -> int:
        self.taken += data
        return len(data)

    def recovery(self) -> Mapping[str, str]:
        return {}

    def commit(self) -> ObjectInfo:
        return ObjectInfo("-", len(self.taken), now(), "")


def test_it_is_an_upload_in_order() -> None:
    upload: Upload = InOrder()
    assert upload.commit().size_bytes == 0


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.lists(st.binary(max_size=2000)))))
def test_gaps_are_filled_in_any_order(gaps: list[tuple[bytes, list[bytes]]]) -> None:
    upload, expected, fills = InOrder(), b"", []
    spool = patient(upload, Path("/tmp"))
    for content, behind in gaps:
        fills.append((spool.reserve(len(content)), content))
        for piece in behind:
            write_all(spool, piece)
        expected += content + b"".join(behind)
    for fill, content in reversed(fills):
        fill(content)
    assert upload.taken == b""
    release(spool)
    assert upload.taken == expected
    spool.write(b"and so on")
    assert upload.taken == expected + b"and so on"


def test_what_waits_lies_in_the_directory_without_a_name(tmp_path: Path) -> None:
    upload = InOrder()
    spool = Spool(upload, tmp_path)
    content = os.urandom(3 * BLOCK_BYTES + 5)
    assert spool.write(content) == len(content)
    assert list(tmp_path.iterdir()) == []
    assert upload.taken == b""
    spool.release()
    spool.release()
    assert upload.taken == content


def test_a_gap_takes_what_was_left_out_and_none_may_come_later(tmp_path: Path) -> None:
    spool = Spool(InOrder(), tmp_path)
    fill = spool.reserve(3)
    with pytest.raises(ValueError, match="a gap of 3"):
        fill(b"four")
    spool.release()
    with pytest.raises(RuntimeError, match="released"):
        spool.reserve(3)


def test_what_was_not_released_is_given_back(tmp_path: Path) -> None:
    """Else its memory would be ours until we end, though its directory is gone."""
    before = set(os.listdir("/proc/self/fd"))
    spool = patient(InOrder(), tmp_path)
    write_all(spool, b"content")
    assert set(os.listdir("/proc/self/fd")) > before
    drop(spool)
    drop(spool)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_full_staging_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught:
        Spool(InOrder(), tmp_path / "missing")
    assert str(tmp_path) in caught.value.message
