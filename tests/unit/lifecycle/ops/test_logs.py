"""Reading conmon's log; that real containers are followed is shown by the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState
from pyodcr.lifecycle.ops import logs
from pyodcr.lifecycle.ops.logs import LogLine, Reader

CONTAINER = Container(ContainerConfig(id="0" * 64, name="c"), ContainerState())
STAMP = "2026-05-01T10:00:00.123456789+00:00"


def record(text: str | bytes, stream: str = "stdout", kind: str = "F") -> bytes:
    body = text if isinstance(text, bytes) else text.encode()
    return f"{STAMP} {stream} {kind} ".encode() + body + b"\n"


def said(lines: Iterator[LogLine]) -> list[bytes]:
    return [line.text + (b"..." if line.partial else b"") for line in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ctr.log"


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    made = Reader(CONTAINER, path)
    yield made
    made.close()


def test_a_line_is_what_was_written(path: Path, reader: Reader) -> None:
    path.write_bytes(record("  two  spaces ") + record(b"\xff\xfe", "stderr") + record("") + record("begun", kind="P"))
    assert list(reader.first(None)) == [
        LogLine(CONTAINER, STAMP, stderr=False, text=b"  two  spaces ", partial=False),
        LogLine(CONTAINER, STAMP, stderr=True, text=b"\xff\xfe", partial=False),
        LogLine(CONTAINER, STAMP, stderr=False, text=b"", partial=False),
        LogLine(CONTAINER, STAMP, stderr=False, text=b"begun", partial=True),
    ]


def test_nothing_was_written_yet(path: Path, reader: Reader) -> None:
    assert said(reader.first(None)) == []
    assert said(reader.first(3)) == []
    path.write_bytes(record("a"))
    assert said(reader.more()) == [b"a"]


def test_half_a_record_waits_for_its_end(path: Path, reader: Reader) -> None:
    whole = record("a") + record("b")
    path.write_bytes(whole[:-4])
    assert said(reader.first(None)) == [b"a"]
    assert said(reader.more()) == []
    with path.open("ab") as more:
        more.write(whole[-4:])
    assert said(reader.more()) == [b"b"]


def test_what_is_no_record_is_passed_over(path: Path, reader: Reader) -> None:
    path.write_bytes(b"\n" + b"cut off\n" + record("a", "stdin") + record("a", kind="X") + b"\xff\n" + record("b"))
    assert said(reader.first(None)) == [b"b"]


def test_a_log_begun_anew_is_read_on(path: Path, reader: Reader) -> None:
    path.write_bytes(record("a"))
    assert said(reader.first(None)) == [b"a"]
    with path.open("ab") as more:
        more.write(record("b"))
    fresh = path.with_suffix(".tmp")
    fresh.write_bytes(record("c"))
    fresh.rename(path)
    assert said(reader.more()) == [b"b", b"c"]


def test_a_removed_log_ends(path: Path, reader: Reader) -> None:
    path.write_bytes(record("a") + record("b"))
    assert next(reader.more()).text == b"a"
    path.unlink()
    assert said(reader.more()) == [b"b"]
    assert said(reader.more()) == []


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (0, []),
        (1, [b"last"]),
        (2, [b"one...", b"two...", b"three", b"last"]),
        (3, [b"first", b"one...", b"two...", b"three", b"last"]),
        (9, [b"first", b"one...", b"two...", b"three", b"last"]),
    ],
)
def test_tail_counts_lines_and_not_their_pieces(path: Path, reader: Reader, tail: int, expected: list[bytes]) -> None:
    pieces = [record("one", kind="P"), record("two", kind="P"), record("three")]
    path.write_bytes(b"".join([record("first"), *pieces, record("last")]))
    assert said(reader.first(tail)) == expected
    with path.open("ab") as more:
        more.write(record("new"))
    assert said(reader.more()) == [b"new"]


@pytest.mark.parametrize("tail", [1, 7, 500, 3000])
def test_tail_of_a_long_log(path: Path, reader: Reader, tail: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_BYTES", 512)
    path.write_bytes(b"".join(record(f"line {number}") for number in range(2000)))
    assert said(reader.first(tail)) == [b"line %d" % number for number in range(max(0, 2000 - tail), 2000)]


def test_tail_of_one_endless_line(path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_BYTES", 512)
    path.write_bytes(record("before") + b"".join(record("x" * 80, kind="P") for _ in range(200)))
    assert len(said(reader.first(1))) == 200
