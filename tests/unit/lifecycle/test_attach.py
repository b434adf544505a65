"""The client of conmon's attach socket, against a socket of our own in conmon's place."""

from __future__ import annotations

import os
import pty
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.errors import SystemFailed, UsageError
from pyodcr.lifecycle.attach import Attachment, KeyWatch, Streams, parse_detach_keys, resize

SMALL_ALPHABET = st.lists(st.sampled_from(b"ab"), max_size=30).map(bytes)


@dataclass
class Monitor:
    """conmon's end: what it is told, and what it says."""

    bundle: Path
    listener: socket.socket

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        return connection


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    # longer than a socket's address may be
    bundle = tmp_path / ("x" * 120)
    bundle.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        here = os.open(bundle, os.O_PATH)
        listener.bind(f"/proc/self/fd/{here}/attach")
        os.close(here)
        listener.listen()
        listener.settimeout(10)
        yield Monitor(bundle, listener)


class Pumping:
    """An attachment copying in a thread of its own; ``detached`` is how it ended."""

    def __init__(self, monitor: Monitor, *, keys: bytes = b"", with_input: bool = True) -> None:
        self.typed, self._input = self._pipe()
        self._output, self.shown = self._pipe()
        self._errors, self.complained = self._pipe()
        self.detached: bool | None = None
        attachment = Attachment(monitor.bundle)
        self.monitor = monitor.accept()
        streams = Streams(
            stdin=self._input if with_input else None, stdout=self._output, stderr=self._errors, detach_keys=keys
        )

        def pump() -> None:
            try:
                self.detached = attachment.pump(streams)
            finally:
                attachment.close()
                for fd in (self._output, self._errors):
                    os.close(fd)

        self._thread = threading.Thread(target=pump)
        self._thread.start()

    @staticmethod
    def _pipe() -> tuple[int, int]:
        read, write = os.pipe()
        return write, read

    def type(self, data: bytes) -> None:
        os.write(self.typed, data)

    def ends(self) -> bool | None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.detached


def read_all(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as stream:
        return stream.read()


def test_streams_are_told_apart(monitor: Monitor) -> None:
    client = Pumping(monitor)
    for packet in (b"\x02out", b"\x03err", b"\x02 more", b"\x09what is this"):
        client.monitor.send(packet)
    client.monitor.close()
    assert client.ends() is False
    assert (read_all(client.shown), read_all(client.complained)) == (b"out more", b"err")


def test_input_goes_in_and_its_end_is_told(monitor: Monitor) -> None:
    client = Pumping(monitor)
    client.type(b"one")
    assert client.monitor.recv(100) == b"one"
    client.type(b"two")
    assert client.monitor.recv(100) == b"two"
    os.close(client.typed)
    assert client.monitor.recv(100) == b""
    client.monitor.send(b"\x02answer")
    client.monitor.close()
    assert client.ends() is False
    assert read_all(client.shown) == b"answer", "what comes after the end of the input is still shown"


def test_no_input_is_taken_unasked(monitor: Monitor) -> None:
    client = Pumping(monitor, with_input=False)
    client.type(b"for somebody else")
    client.monitor.send(b"\x02x")
    assert os.read(client.shown, 10) == b"x"
    client.monitor.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.monitor.recv(100)
    client.monitor.close()
    assert client.ends() is False
    assert os.read(client._input, 100) == b"for somebody else"


def test_detach_keys_detach_and_are_not_passed_on(monitor: Monitor) -> None:
    client = Pumping(monitor, keys=b"\x10\x11")
    client.type(b"before\x10")
    assert client.monitor.recv(100) == b"before"
    client.type(b"\x11after")
    assert client.ends() is True
    assert client.monitor.recv(100) == b""


def test_both_may_have_much_to_say(monitor: Monitor) -> None:
    """Neither waits for the other to read first: conmon has one thread as we have."""
    client = Pumping(monitor)
    sent = os.urandom(2_000_000)
    received, shown = bytearray(), bytearray()

    def type_it() -> None:
        with os.fdopen(client.typed, "wb") as stream:
            stream.write(sent)

    writer = threading.Thread(target=type_it)
    reader = threading.Thread(target=lambda: shown.extend(read_all(client.shown)))
    writer.start()
    reader.start()
    for _ in range(60):  # reading nothing meanwhile: the client must not wait for that
        client.monitor.send(b"\x02" + b"x" * 8192)
    while data := client.monitor.recv(1 << 16):
        received += data
    client.monitor.close()
    assert client.ends() is False
    reader.join(10)
    writer.join(10)
    assert bytes(received) == sent
    assert len(shown) == 60 * 8192


def test_a_hung_up_terminal_is_the_end_of_the_input(monitor: Monitor) -> None:
    master, slave = pty.openpty()
    attachment = Attachment(monitor.bundle)
    connection = monitor.accept()
    os.close(master)
    thread = threading.Thread(target=attachment.pump, args=(Streams(stdin=slave),))
    thread.start()
    assert connection.recv(10) == b""
    connection.close()
    thread.join(10)
    attachment.close()
    os.close(slave)
    assert not thread.is_alive()


def test_a_container_without_a_socket(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed) as caught:
        Attachment(tmp_path)
    assert "no such file" in caught.value.message


def test_resize_speaks_conmons_language(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ctl")
    resize(tmp_path, 24, 80)  # nobody listens: the container ended just now
    listener = os.open(tmp_path / "ctl", os.O_RDONLY | os.O_NONBLOCK)
    resize(tmp_path, 24, 80)
    assert os.read(listener, 100) == b"1 24 80\n"
    os.close(listener)
    resize(tmp_path / "nowhere", 1, 1)


@given(keys=SMALL_ALPHABET.filter(bool), pieces=st.lists(SMALL_ALPHABET, max_size=6))
def test_keys_are_found_wherever_they_are(keys: bytes, pieces: list[bytes]) -> None:
    watch, passed, detached = KeyWatch(keys), b"", False
    for piece in pieces:
        out, detached = watch.feed(piece)
        passed += out
        if detached:
            break
    typed = b"".join(pieces)
    assert detached is (keys in typed)
    if detached:
        assert passed == typed[: typed.index(keys)]
    else:
        held = typed[len(passed) :]
        assert typed.startswith(passed)
        assert keys.startswith(held), "only what may become the keys is held back"


def test_no_keys_hold_nothing_back() -> None:
    assert KeyWatch(b"").feed(b"\x10\x11") == (b"\x10\x11", False)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-P", b"\x10"),
        ("a,b,c", b"abc"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("", b""),
    ],
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ctrl-", "ctrl-pq", "ab", "é", "a,,b", "ctrl-é", ","])
def test_bad_detach_keys(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_detach_keys(text)
    assert text in caught.value.message
