"""logs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pyodcr.cli import moments
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.ops.logs import LogLine, LogOptions

app = new_app()


@app.command()
def logs(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until it ends")] = False,
    since: Annotated[str, typer.Option(help="Not before: a time, or how long ago (10m)")] = "",
    until: Annotated[str, typer.Option(help="Not after: a time, or how long ago (10m)")] = "",
    tail: Annotated[int, typer.Option("--tail", "-n", help="Only the last lines; -1: all")] = -1,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Show the time of each line")] = False,
    show_names: Annotated[bool, typer.Option("--names", help="Show whose line it is")] = False,
) -> None:
    """Show what containers wrote: their standard output on ours, their standard error on ours."""
    if follow and len(names) > 1:
        raise UsageError("--follow takes one container")
    options = LogOptions(
        follow=follow,
        tail=None if tail < 0 else tail,
        since=moments.parse(since),
        until=moments.parse(until),
    )
    with engine(ctx) as found:
        for name in names:
            prefix = f"{found.container(name).name} " if show_names else ""
            for line in found.logs(name, options):
                show(line, prefix, timestamps=timestamps)


def show(line: LogLine, prefix: str, *, timestamps: bool) -> None:
    stamp = f"{line.stamp} " if timestamps else ""
    print(f"{prefix}{stamp}{line.text}", file=sys.stdout if line.stream == "stdout" else sys.stderr, flush=True)
