"""exec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyodcr.cli import terminal
from pyodcr.cli.createflags import env_lines
from pyodcr.cli.session import PASSES_ARGUMENTS, engine, new_app
from pyodcr.lifecycle.ops.exec import ExecOptions

app = new_app()


@app.command("exec", context_settings=PASSES_ARGUMENTS)
def exec_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND [ARG...]")],
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for it")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Pass our input on to it")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal")] = False,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=VALUE")] = None,
    env_files: Annotated[list[Path] | None, typer.Option("--env-file", help="Read NAME=VALUE lines")] = None,
    user: Annotated[str, typer.Option("--user", "-u", help="User, or user:group")] = "",
    workdir: Annotated[str, typer.Option("--workdir", "-w", help="Working directory")] = "",
    privileged: Annotated[bool, typer.Option("--privileged", help="All capabilities")] = False,
    detach_keys: Annotated[str | None, typer.Option(help="Keys that detach, for instance ctrl-p,ctrl-q")] = None,
) -> None:
    """Run a command in a running container; the exit status is the command's.

    125: pyodcr failed; 126: the command cannot be run; 127: there is no such command.
    """
    options = ExecOptions(
        command=tuple(command),
        tty=tty,
        interactive=interactive,
        privileged=privileged,
        env=(*env_lines(env_files), *(env or ())),
        user=user,
        workdir=workdir,
        size=terminal.size() if tty else (0, 0),
    )
    with engine(ctx) as found:
        if detach:
            print(found.exec_detached(name, options))
            return
        with terminal.raw(wanted=tty and interactive):
            status = found.exec(
                name,
                options,
                terminal.streams(stdin=interactive, tty=tty, detach_keys=detach_keys),
                lambda directory: terminal.sized(directory, wanted=tty),
            )
    raise typer.Exit(status)
