"""The demo's own judgement: what it reads over the wire, what it calls the same, and what it calls a lost number."""

from __future__ import annotations

import io
import shlex
import socket
import threading

import pytest

from tools.tour import keys, resp
from tools.tour.counter import Counter
from tools.tour.screen import MARGIN, Screen, size
from tools.tour.trouble import TourFailed


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"+OK\r\n", b"OK"),
        (b":42\r\n", 42),
        (b"$3\r\na\r\n\r\n", b"a\r\n"),
        (b"$-1\r\n", None),
        (b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n", [b"0", [b"k"]]),
    ],
)
def test_replies(wire: bytes, reply: resp.Reply) -> None:
    assert resp.decode(io.BytesIO(wire)) == reply


def test_commands_are_arrays_of_bulk_strings() -> None:
    assert resp.encode(["SET", b"k", 7]) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n"


def test_an_error_and_a_torn_reply_are_told_apart() -> None:
    with pytest.raises(TourFailed, match="OOM"):
        resp.decode(io.BytesIO(b"-OOM no memory\r\n"))
    with pytest.raises(ConnectionError):
        resp.decode(io.BytesIO(b"$5\r\nab"))


def test_every_kind_of_difference_counts() -> None:
    before = {b"a": b"1", b"b": b"2"}
    assert keys.compare(before, dict(before)).same
    assert keys.compare(before, {b"a": b"x", b"c": b"3"}) == keys.Comparison(missing=1, changed=1, added=1)


def test_the_digest_knows_where_a_key_ends() -> None:
    assert keys.digest({b"ab": b"c"}) != keys.digest({b"a": b"bc"})
    assert keys.digest({b"a": b"1", b"b": b"2"}) == keys.digest({b"b": b"2", b"a": b"1"})


@pytest.mark.parametrize(
    ("numbers", "trouble"),
    [
        ([[1, 2, 3], [4, 5]], False),
        ([[1, 2, 3], [5, 6]], False),  # the fourth INCR was done, its answer got lost
        ([[1, 2, 3], [6]], True),
        ([[1, 2, 3], [3]], True),
        ([[1, 2, 4]], True),
    ],
)
def test_a_number_lost_or_given_twice_is_trouble(
    numbers: list[list[int]], *, trouble: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(resp, "PORT", listener.getsockname()[1])
        server = threading.Thread(target=_answer, args=(listener, numbers), daemon=True)
        server.start()
        counter = Counter(["127.0.0.1"])
        counter.start()
        try:
            if trouble:
                with pytest.raises(TourFailed, match="counter was at"):
                    counter.wait_beyond(1000)
            else:
                assert counter.wait_beyond(numbers[-1][-1] - 1) == numbers[-1][-1]
                assert [arrival.first for arrival in counter.arrivals] == [first[0] for first in numbers]
        finally:
            counter.stop()


def _answer(listener: socket.socket, numbers: list[list[int]]) -> None:
    """A connection for each list, an INCR's answer for each number of it."""
    for one in numbers:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            for number in one:
                resp.decode(stream)
                connection.sendall(b":%d\r\n" % number)


def test_long_commands_are_broken_where_a_shell_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pyodcr", "run", "--detach", "--change", 'CMD ["a b"]', "--publish", "1:1", *["word"] * 20]
    Screen().command("hosta", words)
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert len(lines) > 1
    assert all(len(line) <= MARGIN for line in lines)
    assert shlex.split(shown.replace(" \\\n", " "))[1:] == words
    assert not any(line.endswith("--change \\") for line in lines)


def test_sizes() -> None:
    assert (size(700 << 10), size(53 << 20)) == ("700 KiB", "53.0 MiB")
