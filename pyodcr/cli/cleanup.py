"""cleanup: not for people; conmon runs it when a container or a command in it has ended."""

from __future__ import annotations

from typing import Annotated

import typer

from pyodcr.cli.session import engine, new_app

app = new_app()


@app.command()
def cleanup(
    ctx: typer.Context,
    container_id: Annotated[str, typer.Argument(metavar="CONTAINER")],
    session: Annotated[str, typer.Option("--exec", help="Only this exec session")] = "",
) -> None:
    """Release what a dead container held."""
    with engine(ctx) as found:
        if session:
            found.forget_exec(container_id, session)
        else:
            found.cleanup(container_id)
