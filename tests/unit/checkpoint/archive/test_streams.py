from __future__ import annotations

import io

import pytest

from pyodcr.checkpoint.archive import streams
from pyodcr.checkpoint.archive.streams import Intake, read_at
from pyodcr.errors import ArchiveInvalid


class Pieces(io.RawIOBase):
    """Gives these pieces, one a call."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, size: int = -1, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_pieces_are_joined_and_cut() -> None:
    intake = Intake(Pieces(b"ab", b"cdef", b"g", b"hij"))  # type: ignore[arg-type]
    assert intake.peek(3) == b"abc"
    assert intake.offset == 0
    assert intake.take(1) == b"a"
    assert intake.take(6) == b"bcdefg"
    assert intake.some(2) == b"hi"
    intake.give_back(1)
    assert intake.offset == 8
    assert intake.peek(99) == b"ij"
    assert intake.some() == b"ij"
    assert intake.some() == intake.peek(1) == b""
    assert intake.offset == 10


def test_an_end_before_its_time_says_where() -> None:
    intake = Intake(Pieces(b"abc", b"def"))  # type: ignore[arg-type]
    intake.take(2)
    with pytest.raises(ArchiveInvalid) as caught:
        intake.take(5)
    assert caught.value.details == {"offset": 6}


def test_read_at_is_exact() -> None:
    assert read_at(io.BytesIO(b"abcdef"), 2, 3) == b"cde"
    with pytest.raises(ArchiveInvalid):
        read_at(io.BytesIO(b"abcdef"), 4, 3)


def test_a_sink_that_takes_nothing_is_an_error() -> None:
    class Full(io.RawIOBase):
        def write(self, data: object, /) -> int:
            return 0

    with pytest.raises(BlockingIOError):
        streams.write_all(Full(), b"x")
    streams.write_all(Full(), b"")
