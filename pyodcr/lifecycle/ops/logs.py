"""logs: what containers wrote, as conmon keeps it (``k8s-file``, conmon's ``src/ctr_logging.c``).

    2026-05-01T10:00:00.123456789+00:00 stdout F a whole line
    2026-05-01T10:00:00.223456789+00:00 stderr P a piece of a line that is not over

A line longer than conmon's buffer, or not yet ended by the container, comes in pieces; they are handed on as they
come, so a prompt is seen when it is written. With ``--log-opt max-size`` conmon begins a new file under the same name.
A record whose end is not written yet is left for the next look.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pyodcr import jsonio
from pyodcr.errors import Unsupported
from pyodcr.lifecycle import refresh
from pyodcr.lifecycle.conmon import STREAMLESS_LOG_DRIVERS
from pyodcr.lifecycle.models import Container
from pyodcr.linux import boot, files, pidfd

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

POLL_S = 0.1
TAIL_BYTES = 1 << 16  # how far back the last lines are looked for at first
STREAMS = (b"stdout", b"stderr")
KINDS = (b"F", b"P")
EVER = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """``tail`` None: from the beginning. ``since`` and ``until`` bound the time of a line."""

    follow: bool = False
    since: datetime | None = None
    until: datetime | None = None
    tail: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, or with ``partial`` a piece that more of the same line follows.

    ``stamp`` is the time as it stands in the log, to the nanosecond; ``text`` has no end of line.
    """

    container: Container
    stamp: str
    stderr: bool
    text: bytes
    partial: bool


def logs(ctx: Context, refs: Sequence[str], options: LogOptions) -> Iterator[LogLine]:
    """The lines of each container in the order they were written; with ``follow`` then of all, as they come.

    Following a container ends when it does. Raises :class:`NotFound`, and :class:`Unsupported` (``no-log``) for a
    log driver that keeps nothing, both before the first line.
    """
    containers = [ctx.find(ref) for ref in refs]
    for container in containers:
        if container.config.log_driver in STREAMLESS_LOG_DRIVERS:
            raise Unsupported(
                f"container {container.name} keeps no log: its log driver is {container.config.log_driver}",
                code="no-log",
                hint="create it with --log-driver k8s-file",
            )
    return _lines(ctx, containers, options)


def _lines(ctx: Context, containers: Sequence[Container], options: LogOptions) -> Iterator[LogLine]:
    with ExitStack() as close:
        readers = []
        for container in containers:
            reader = Reader(container, Path(container.config.log_path or ctx.place(container).log))
            close.callback(reader.close)
            readers.append(reader)
            yield from _within(reader.first(options.tail), options)
        while options.follow and readers and not (options.until and jsonio.now() > options.until):
            writing = [reader for reader in readers if _writes(ctx, reader.container)]
            for reader in readers:  # after that look, so that all which an ended one wrote is read
                yield from _within(reader.more(), options)
            readers = writing
            _wait(readers)


def _wait(readers: Sequence[Reader]) -> None:
    if len(readers) == 1:
        state = readers[0].container.state
        pidfd.wait(state.conmon_pid, state.conmon_started, POLL_S)
    elif readers:
        time.sleep(POLL_S)


def _writes(ctx: Context, container: Container) -> bool:
    """Whether the container's monitor may still write; its exit file says that all output is in the log."""
    state = container.state
    if not boot.is_alive(state.conmon_pid, state.conmon_started):
        return False
    return refresh.exit_file(ctx.place(container)) is None


def _within(lines: Iterator[LogLine], options: LogOptions) -> Iterator[LogLine]:
    if options.since is None and options.until is None:
        yield from lines
        return
    since, until = options.since or EVER, options.until or NEVER
    for line in lines:
        with suppress(ValueError):  # a damaged time is of no time
            moment = jsonio.parse_time(line.stamp)
            if moment is not None and since <= moment < until:
                yield line


class Reader:
    """One log file, read from where the last reading ended."""

    def __init__(self, container: Container, path: Path) -> None:
        self.container = container
        self._path = path
        self._file: BinaryIO | None = None
        self._half = b""  # the beginning of a record whose end is not yet written

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._half = None, b""

    def first(self, tail: int | None) -> Iterator[LogLine]:
        """What is there now; of it the last ``tail`` lines, however many pieces they have."""
        file = self._opened()
        if tail is None or file is None:
            yield from self.more()
            return
        size_bytes, distance_bytes = os.fstat(file.fileno()).st_size, TAIL_BYTES
        while True:  # from further and further back, until it is enough
            begin = max(size_bytes - distance_bytes, 0)
            file.seek(begin)
            self._half = b""
            if begin:
                file.readline()  # the rest of a record
            kept, count = _last(self._read(file), tail)
            if begin == 0 or count > tail:  # the first that was seen may have begun before
                yield from kept
                return
            distance_bytes *= 8

    def more(self) -> Iterator[LogLine]:
        """What was written since, also into a file that took this one's place."""
        while (file := self._opened()) is not None:
            yield from self._read(file)
            if not self._is_replaced(file):
                return
            yield from self._read(file)  # written between that reading and the replacement
            self.close()

    def _opened(self) -> BinaryIO | None:
        """None while there is no file: the container has not run yet, or is removed."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return None
            except OSError as error:
                raise files.failed("read", self._path, error) from error
        return self._file

    def _is_replaced(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _read(self, file: BinaryIO) -> Iterator[LogLine]:
        for record in file:
            record = self._half + record
            if not record.endswith(b"\n"):
                self._half = record
                return
            self._half = b""
            line = _parsed(self.container, record[:-1])
            if line is not None:
                yield line


def _parsed(container: Container, record: bytes) -> LogLine | None:
    """None for what is no record: the rest of one that a full disk cut short."""
    stamp, stream, kind, *text = (*record.split(b" ", 3), b"", b"")[:4]
    if stream not in STREAMS or kind not in KINDS:
        return None
    return LogLine(container, stamp.decode("ascii", "replace"), stream == b"stderr", text[0], partial=kind == b"P")


def _last(lines: Iterator[LogLine], count: int) -> tuple[deque[LogLine], int]:
    """The last ``count`` lines with all their pieces, and how many lines there were."""
    kept: deque[LogLine] = deque()
    pieces: deque[int] = deque()  # of each kept line
    begins, seen = {False: True, True: True}, 0
    for line in lines:
        if begins[line.stderr]:
            seen += 1
            pieces.append(0)
            if len(pieces) > count:
                for _ in range(pieces.popleft()):
                    kept.popleft()
        begins[line.stderr] = not line.partial
        if pieces:
            kept.append(line)
            pieces[-1] += 1
    return kept, seen
