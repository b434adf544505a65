"""TCP connections that outlive a checkpoint: a server in a container, and a client that never stops sending."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.box import WAIT_S, Box, wait_for
from tests.support.checkpoints import Counter

SILENCE_S = 90.0

# it answers every line with the number of lines so far
ANSWERING = """
socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
bind(S, sockaddr_in(9000, INADDR_ANY)) && listen(S, 5) or die $!;
accept(C, S); select((select(C), $| = 1)[0]);
while (<C>) { $n++; print C "$n\\n" }
close(C);
while (1) { select(undef, undef, undef, 0.05) }
"""


class Talk:
    """A client outside of the container: it sends a line every few milliseconds, and reads whatever comes back."""

    def __init__(self, connection: socket.socket) -> None:
        self.answers: list[int] = []
        self._connection = connection
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._listen)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._ended.wait(0.005):
            self._connection.sendall(b"next\n")
        self._connection.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        with self._connection.makefile() as stream:
            for line in stream:
                self.answers.append(int(line))

    def goes_on(self) -> None:
        """Assert that answers to new questions come: TCP waits twice as long each time before it sends again."""
        reached = len(self.answers)
        wait_for(lambda: len(self.answers) > reached + 10, "answers", SILENCE_S)

    def close(self) -> None:
        """Ask no more, and read the last answer."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._connection.close()


@contextmanager
def talking(address: str) -> Iterator[Talk]:
    connection = wait_for(lambda: connected(address), "the server")
    connection.settimeout(SILENCE_S)
    talk = Talk(connection)
    try:
        yield talk
    finally:
        talk.close()


def connected(address: str) -> socket.socket | None:
    try:
        return socket.create_connection((address, 9000), WAIT_S)
    except OSError:
        return None


def start_server(box: Box, perl: Path, name: str = "c") -> tuple[Counter, str]:
    """Run :data:`ANSWERING` on a tree with perl, in a network of its own; the container, and its address."""
    words = ("run", "-d", "--name", name, "--rootfs", f"{perl}:O", "perl", "-MSocket", "-e", ANSWERING)
    container = Counter(box, name, box.run(*words))
    return container, box.inspect(name)["NetworkSettings"]["Networks"]["pyodcr"]["IPAddress"]
