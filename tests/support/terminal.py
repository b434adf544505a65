"""A user at a terminal: a program on a pseudo terminal, what it shows, and what is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

WAIT_S = 60.0


@dataclass(slots=True)
class Terminal:
    """``shown`` is all that has appeared on the screen so far."""

    pid: int
    fd: int
    shown: bytes = b""
    looked_at: int = 0
    status: int | None = None

    def expect(self, text: str) -> None:
        """Wait until ``text`` appears after what was expected before."""
        deadline = time.monotonic() + WAIT_S
        wanted = text.encode()
        while (at := self.shown.find(wanted, self.looked_at)) < 0:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{text!r} does not appear in {self.shown[self.looked_at :]!r}")
        self.looked_at = at + len(wanted)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.fd)[3] & termios.ECHO

    def wait(self) -> int:
        """The program's exit status, when it has ended."""
        deadline = time.monotonic() + WAIT_S
        while self._read() and time.monotonic() < deadline:
            pass
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def _read(self) -> bool:
        """Take in what is shown within a moment; False when there is no more to come."""
        if not select.select([self.fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:  # EIO: the program has closed it
            return False
        self.shown += data
        return bool(data)


@contextmanager
def terminal(argv: Sequence[str], env: Mapping[str, str], *, rows: int = 24, columns: int = 80) -> Iterator[Terminal]:
    """Run ``argv`` on a terminal of that size; it is killed if the block leaves it running."""
    pid, fd = pty.fork()
    if pid == 0:
        # the size is there before the program looks
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        os.execvpe(argv[0], list(argv), dict(env))
    seen = Terminal(pid, fd)
    try:
        yield seen
    finally:
        if seen.status is None:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(fd)
