"""cleanup and recover: not for people; conmon runs the one at the end of a container, a guard the other."""

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


@app.command()
def recover(ctx: typer.Context, operation: Annotated[str, typer.Argument(metavar="OPERATION")]) -> None:
    """Wait for the owner of a checkpoint or restore to end, then finish or undo what it has left."""
    with engine(ctx) as found:
        found.relieve(operation)
