"""One run of ssh: a program for the far side, bytes to it, its answers and its bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

from pyodcr import process
from pyodcr.checkpoint.destinations.base import Bytes
from pyodcr.errors import DestinationError
from pyodcr_ssh import failures, programs
from pyodcr_ssh.address import Address
from pyodcr_ssh.settings import Settings

PIPE_BYTES = 1 << 20
READ_BYTES = 64 << 10
NOISE_BYTES = 64 << 10  # of login scripts, before the program begins
END_WAIT_S = 5
# Nothing is ever asked: what works at a terminal works under cron, and a prompt must not hold up a frozen container.
# A connection of our own, since a shared one keeps its master's time-outs. A peer that dies is noticed within 25 s,
# also while nothing is sent. INFO is the level at which ssh says so.
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "4",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "LogLevel": "INFO",
}


class Session:
    """``action`` is what the errors say could not be done. After an error there is nothing left to do but leave.

    One thread may write while another leaves: its write ends, and no later one begins.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], said: IO[bytes], address: Address, settings: Settings, action: str
    ) -> None:
        assert child.stdin
        assert child.stdout
        self._child = child
        self._said = said
        self._address = address
        self._timeout_s = settings.timeout_s
        self._action = action
        self._input = child.stdin.fileno()
        self._output = child.stdout.fileno()
        self._buffer = b""
        self._begun = False
        self._over = False
        self._writing = threading.Lock()
        os.set_blocking(self._input, False)
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(self._input, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def write(self, data: Bytes) -> None:
        """Raises :class:`DestinationError` if the far side has ended, or takes nothing for too long."""
        with self._writing:
            if self._over:
                raise failures.cut_off(self._action, self._address, None)
            view = memoryview(data).cast("B")
            while view:
                try:
                    view = view[os.write(self._input, view) :]
                except BlockingIOError:
                    if not self._wait(self._input, select.POLLOUT, self._timeout_s):
                        raise self.silent() from None
                except BrokenPipeError as error:
                    raise self.ended() from error

    def close_input(self) -> None:
        assert self._child.stdin
        self._over = True
        self._child.stdin.close()

    def give_up(self) -> bool:
        """Close the input before its time; False if another thread is stuck in a write, which only the end ends."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            self.close_input()
        finally:
            self._writing.release()
        return True

    def begun(self) -> None:
        """Wait until the program runs; what was said before it is forgotten."""
        deadline = time.monotonic() + self._timeout_s
        while programs.MARK not in self._buffer:
            if not self._fill(deadline) or len(self._buffer) > NOISE_BYTES:
                raise self._broken(self._buffer.decode(errors="replace"))
        self._buffer = self._buffer.partition(programs.MARK)[2]
        self._begun = True

    def field(self, timeout_s: float | None = None) -> str:
        """The next field of an answer; a reason to fail is raised."""
        found = self._field(self._timeout_s if timeout_s is None else timeout_s)
        if found == "failed":
            raise failures.of_far(self._action, self._address, self._field(END_WAIT_S))
        return found

    def read_into(self, view: memoryview) -> int:
        """What there is of the bytes after the answers; 0 at their end."""
        if self._buffer:
            count = min(len(view), len(self._buffer))
            view[:count] = self._buffer[:count]
            self._buffer = self._buffer[count:]
            return count
        if not self._wait(self._output, select.POLLIN, self._timeout_s):
            raise self.silent()
        return os.readv(self._output, [view])

    def silent(self) -> DestinationError:
        return failures.silent(self._action, self._address, self._timeout_s)

    def ended(self) -> DestinationError:
        """Why the far side has ended before its time: its own reason, or that of ssh."""
        try:
            while True:
                self.field(END_WAIT_S)
        except DestinationError as error:
            return error

    def kill(self) -> None:
        """End ssh, and the programs of a ProxyCommand with it."""
        self._over = True
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)  # it leads a session of its own

    def end(self) -> None:
        self.kill()
        with self._writing:  # whoever was in a write has left it before its descriptor can become another file's
            return

    def _field(self, timeout_s: float) -> str:
        deadline = time.monotonic() + timeout_s
        while b"\0" not in self._buffer:
            if len(self._buffer) > NOISE_BYTES or not self._fill(deadline):
                raise self._broken()
        found, _, self._buffer = self._buffer.partition(b"\0")
        return found.decode(errors="replace")

    def _fill(self, deadline: float) -> bool:
        """Read some more of the output; False at its end."""
        if not self._wait(self._output, select.POLLIN, max(0.0, deadline - time.monotonic())):
            raise self.silent()
        block = os.read(self._output, READ_BYTES)
        self._buffer += block
        return bool(block)

    def _broken(self, noise: str = "") -> DestinationError:
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._child.wait(END_WAIT_S)
        self._said.seek(0)
        said = self._said.read(NOISE_BYTES).decode(errors="replace")
        if self._begun and status != failures.SSH_FAILED:
            return failures.cut_off(self._action, self._address, status)
        return failures.of_ssh(self._action, self._address, status, noise + said)

    @staticmethod
    def _wait(fd: int, events: int, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(fd, events)
        return bool(poll.poll(int(timeout_s * 1000)))


@contextlib.contextmanager
def session(address: Address, settings: Settings, program: bytes, action: str) -> Iterator[Session]:
    """Have the far side run ``program``; however the block ends, ssh has ended after it."""
    options = [f"-o{name}={value}" for name, value in OPTIONS.items()]
    argv = [*settings.command, *options, *address.words, programs.command(program)]
    with (
        tempfile.TemporaryFile() as said,
        process.spawn(
            argv,
            env=os.environ | {"LC_ALL": "C.UTF-8"},  # all of it: agents, and whatever a ProxyCommand needs
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            new_session=True,
        ) as child,
    ):
        far = Session(child, said, address, settings, action)
        try:
            far.write(program)
            far.begun()
            yield far
        finally:
            far.end()


@contextlib.contextmanager
def question(address: Address, settings: Settings, program: bytes, action: str) -> Iterator[Session]:
    """A session that sends nothing but its program."""
    with session(address, settings, program, action) as far:
        far.close_input()
        yield far
