"""logs: what a container wrote, from the file conmon keeps (the format of Kubernetes' CRI, ``k8s-file``).

    2026-11-23T17:04:48.123456789+00:00 stdout F a whole line
    2026-11-23T17:04:48.123456789+00:00 stderr P the beginning of a long one

conmon writes a line at once, but a reader may see half of it; a line without its end is left for the next look.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pyodcr import jsonio
from pyodcr.errors import SystemFailed, Unsupported
from pyodcr.lifecycle.conmon import STREAMLESS_LOG_DRIVERS
from pyodcr.lifecycle.models import Container, Status
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

POLL_S = 0.1
ENDED = frozenset({Status.STOPPED, Status.EXITED, Status.REMOVING})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """``tail`` None: all lines; ``since`` and ``until`` bound the time of a line."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """``stamp`` is the time as it stands in the file, with nanoseconds; ``text`` has no end of line."""

    stamp: str
    stream: str  # stdout or stderr
    text: str
    whole: bool = True

    @property
    def time(self) -> datetime | None:
        return jsonio.parse_time(self.stamp)


def logs(ctx: Context, ref: str, options: LogOptions) -> Iterator[LogLine]:
    """The lines of a container's log; with ``follow`` until it has ended and all is read."""
    container = ctx.find(ref)
    if container.config.log_driver in STREAMLESS_LOG_DRIVERS:
        raise Unsupported(
            f"container {container.name} keeps no log: its log driver is {container.config.log_driver}",
            code="no-log",
            hint="create it with --log-driver k8s-file",
        )
    path = Path(container.config.log_path or ctx.place(container).log)
    try:
        with path.open("rb") as source:
            yield from _chosen(source, options)
            if options.follow:
                yield from _within(_followed(ctx, container, source), options)
    except FileNotFoundError:
        return  # it has never run
    except OSError as error:
        raise files.failed("read", path, error) from error


def _chosen(source: BinaryIO, options: LogOptions) -> Iterable[LogLine]:
    lines = _within(_joined(_lines(source)), options)
    return lines if options.tail is None else deque(lines, maxlen=options.tail)


def _lines(source: BinaryIO) -> Iterator[LogLine]:
    """The lines that are whole in the file; the reader stands behind the last of them afterwards."""
    while True:
        start = source.tell()
        raw = source.readline()
        if not raw.endswith(b"\n"):
            source.seek(start)
            return
        yield parse(raw[:-1].decode(errors="replace"))


def parse(line: str) -> LogLine:
    stamp, _, rest = line.partition(" ")
    stream, _, rest = rest.partition(" ")
    tag, _, text = rest.partition(" ")
    if stream not in ("stdout", "stderr"):
        raise SystemFailed(f'"{line[:80]}" is no line of a container log', code="log-damaged")
    return LogLine(stamp, stream, text, whole=tag != "P")


def _joined(lines: Iterable[LogLine]) -> Iterator[LogLine]:
    """Long lines come in pieces (conmon cuts them at its buffer's end): put together, per stream."""
    begun: dict[str, LogLine] = {}
    for line in lines:
        first = begun.pop(line.stream, None)
        joined = line if first is None else LogLine(first.stamp, line.stream, first.text + line.text, line.whole)
        if joined.whole:
            yield joined
        else:
            begun[line.stream] = joined
    yield from begun.values()  # output that ended without an end of line


def _within(lines: Iterable[LogLine], options: LogOptions) -> Iterator[LogLine]:
    for line in lines:
        moment = line.time
        if moment is not None and options.until is not None and moment > options.until:
            return
        if moment is None or options.since is None or moment >= options.since:
            yield line


def _followed(ctx: Context, container: Container, source: BinaryIO) -> Iterator[LogLine]:
    while True:
        ended = _has_ended(ctx, container)
        yield from _joined(_lines(source))
        if ended:  # it was so before the last look, so nothing can have come since
            return
        time.sleep(POLL_S)


def _has_ended(ctx: Context, container: Container) -> bool:
    from pyodcr.lifecycle import refresh

    found = [other for other in ctx.containers() if other.id == container.id]
    return not found or refresh.shown(found[0], ctx.place(container)).status in ENDED
