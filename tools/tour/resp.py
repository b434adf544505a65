"""As much of Redis' protocol as the tour speaks (RESP2, redis.io/docs/latest/develop/reference/protocol-spec)."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Self

from tools.tour.trouble import TourFailed

Word = bytes | str | int
Reply = bytes | int | None | list["Reply"]
PORT = 6379
BATCH = 1000


class Redis:
    """One TCP connection. Raises OSError when it cannot be made or breaks."""

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self._socket = socket.create_connection((address, PORT), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._replies.close()
            self._socket.close()

    def call(self, *words: Word) -> Reply:
        self._socket.sendall(encode(words))
        return decode(self._replies)

    def pipeline(self, commands: Iterable[Sequence[Word]]) -> Iterator[Reply]:
        """The replies to many commands, sent a batch at a time."""
        pending = iter(commands)
        while batch := list(islice(pending, BATCH)):
            self._socket.sendall(b"".join(map(encode, batch)))
            for _ in batch:
                yield decode(self._replies)


def encode(words: Sequence[Word]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def decode(stream: BinaryIO) -> Reply:
    """One reply. Raises ConnectionError at the stream's end, TourFailed when the server says no."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server went away")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else _exactly(stream, int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [decode(stream) for _ in range(int(rest))]
    raise TourFailed(f"redis says: {rest.decode(errors='replace')}")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ConnectionError("the server went away")
    return data
