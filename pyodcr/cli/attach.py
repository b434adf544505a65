"""attach."""

from __future__ import annotations

from typing import Annotated

import typer

from pyodcr.cli.attached import follow
from pyodcr.cli.session import engine, new_app
from pyodcr.lifecycle.attach import Attachment
from pyodcr.lifecycle.transitions import Op, require

app = new_app()


@app.command()
def attach(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER")],
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not pass our input on")] = False,
    detach_keys: Annotated[str | None, typer.Option(help="Keys that detach, for instance ctrl-p,ctrl-q")] = None,
    sig_proxy: Annotated[bool, typer.Option(help="Pass our signals on to it")] = True,
) -> None:
    """Attach to a running container; the exit status is its own."""
    with engine(ctx) as found:
        container = found.container(name)
        require(Op.ATTACH, container)
        stdin = container.config.open_stdin and not no_stdin
        status = follow(
            found,
            container,
            Attachment(found.bundle(container)),
            stdin=stdin,
            detach_keys=detach_keys,
            sig_proxy=sig_proxy,
        )
    raise typer.Exit(status)
