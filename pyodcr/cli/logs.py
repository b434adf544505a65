"""logs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pyodcr.cli import units
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.ops.logs import LogLine, LogOptions

app = new_app()


@app.command()
def logs(
    ctx: typer.Context,
    containers: Annotated[list[str] | None, typer.Argument(metavar="CONTAINER...", help="Names or IDs")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the container ends")] = False,
    since: Annotated[str, typer.Option(help="A time, or how long ago: 10m")] = "",
    until: Annotated[str, typer.Option(help="A time, or how long from now: 10m")] = "",
    tail: Annotated[int, typer.Option("--tail", "-n", help="That many lines at the end; -1: all")] = -1,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="With the time of each line")] = False,
    names: Annotated[bool, typer.Option("--names", help="Of several containers: names instead of IDs")] = False,
) -> None:
    """Show what containers wrote: to their standard output on ours, to their standard error on ours.

    With several containers each line begins with the ID of its container.
    """
    if not containers:
        raise UsageError("you must provide at least one name or id")
    options = LogOptions(
        follow=follow,
        since=units.moment(since, "--since") if since else None,
        until=units.moment(until, "--until", ahead=True) if until else None,
        tail=tail if tail >= 0 else None,
    )
    writer = _Writer(timestamps=timestamps, several=len(containers) > 1, names=names)
    with engine(ctx) as found:
        for line in found.logs(containers, options):
            writer.write(line, flush=follow)
    writer.flush()


class _Writer:
    """Bytes as they came; what stands before a line is written where a line begins, not where a piece does."""

    def __init__(self, *, timestamps: bool, several: bool, names: bool) -> None:
        self._timestamps = timestamps
        self._several = several
        self._names = names
        self._outputs = (sys.stdout.buffer, sys.stderr.buffer)
        self._unfinished: set[tuple[str, bool]] = set()
        self._last = False

    def write(self, line: LogLine, *, flush: bool) -> None:
        if line.stderr != self._last:  # on one terminal the order is kept
            self._outputs[self._last].flush()
            self._last = line.stderr
        key = (line.container.id, line.stderr)
        prefix = b"" if key in self._unfinished else self._prefix(line).encode()
        output = self._outputs[line.stderr]
        output.write(prefix + line.text + (b"" if line.partial else b"\n"))
        if line.partial:
            self._unfinished.add(key)
        else:
            self._unfinished.discard(key)
        if flush:
            output.flush()

    def flush(self) -> None:
        for output in self._outputs:
            output.flush()

    def _prefix(self, line: LogLine) -> str:
        words = []
        if self._several:
            words.append(line.container.name if self._names else line.container.config.short_id)
        if self._timestamps:
            words.append(line.stamp.replace("+00:00", "Z"))
        return "".join(f"{word} " for word in words)
