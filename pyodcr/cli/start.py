"""start."""

from __future__ import annotations

from typing import Annotated

import typer

from pyodcr.cli.attached import follow, started
from pyodcr.cli.failures import for_each
from pyodcr.cli.lifecycle import Names, chosen
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.transitions import STARTABLE

app = new_app()


@app.command()
def start(
    ctx: typer.Context,
    names: Names = None,
    all_: Annotated[bool, typer.Option("--all", help="All containers the command applies to")] = False,
    attach: Annotated[bool, typer.Option("--attach", "-a", help="Show its output; exit with its status")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Pass our input on to it")] = False,
    detach_keys: Annotated[str | None, typer.Option(help="Keys that detach, for instance ctrl-p,ctrl-q")] = None,
    sig_proxy: Annotated[bool, typer.Option(help="Pass our signals on to it")] = True,
) -> None:
    """Start containers."""
    with engine(ctx) as found:
        refs = chosen(found, names, all_, STARTABLE)
        if attach or interactive:
            if len(refs) != 1:
                raise UsageError("you cannot start and attach multiple containers at once")
            container, attachment = started(found, refs[0])
            raise typer.Exit(
                follow(found, container, attachment, stdin=interactive, detach_keys=detach_keys, sig_proxy=sig_proxy)
            )

        def act(ref: str) -> None:
            found.start(ref)
            print(ref)

        for_each(refs, act)
