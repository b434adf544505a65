"""The user's terminal while a container is attached to it: raw mode, window size, signals passed on."""

from __future__ import annotations

import fcntl
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from pyodcr.errors import PyodcrError
from pyodcr.lifecycle import attach

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def raw(*, wanted: bool) -> Iterator[None]:
    """Put the terminal on standard input into raw mode, and back whatever happens; nothing when there is none."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin, termios.TCSANOW)  # not the default: that forgets what was typed ahead
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal on standard input; (0, 0) where there is none."""
    try:
        answer = fcntl.ioctl(sys.stdin.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return 0, 0
    rows, columns, _, _ = struct.unpack("4H", answer)
    return rows, columns


@contextmanager
def sized(bundle: Path, *, wanted: bool) -> Iterator[None]:
    """Keep the container's terminal as large as ours."""
    if not wanted or not sys.stdin.isatty():
        yield
        return

    def tell(number: int = 0, frame: FrameType | None = None) -> None:
        del number, frame
        with suppress(OSError):
            attach.resize(bundle, *size())

    previous = signal.signal(signal.SIGWINCH, tell)
    tell()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, previous)


@contextmanager
def signals_passed_on(send: Callable[[int], object], *, wanted: bool) -> Iterator[None]:
    """Give the signals we get to the container instead (``--sig-proxy``); our end comes with its end."""
    if not wanted:
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        with suppress(PyodcrError):  # it died just now: so will we
            send(number)

    previous = {number: signal.signal(number, forward) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def streams(*, stdin: bool, tty: bool, detach_keys: str | None) -> attach.Streams:
    """Ours, for an attached container. Output goes through the descriptors, unbuffered: what is printed is printed.

    Only on a terminal do the keys detach: a stream of data may hold the same bytes.
    """
    sys.stdout.flush()
    keys = {} if detach_keys is None else {"detach_keys": attach.parse_detach_keys(detach_keys)}
    if not tty:
        keys["detach_keys"] = b""
    return attach.Streams(
        stdin=sys.stdin.fileno() if stdin else None, stdout=sys.stdout.fileno(), stderr=sys.stderr.fileno(), **keys
    )
