"""stop, kill, pause, unpause, restart, rm, wait: verbs that take containers and print what was typed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from pyodcr.cli.failures import for_each
from pyodcr.cli.session import engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import NotFound, PyodcrError, UsageError, WrongState
from pyodcr.lifecycle.models import Status
from pyodcr.lifecycle.transitions import ALLOWED, LIVE, STARTABLE, Op

app = new_app()

Names = Annotated[list[str] | None, typer.Argument(metavar="CONTAINER...", help="Names or IDs")]
All = Annotated[bool, typer.Option("--all", "-a", help="All containers the command applies to")]
Ignore = Annotated[bool, typer.Option("--ignore", "-i", help="Say nothing of containers that are not there")]
Force = Annotated[bool, typer.Option("--force", help="Cancel a checkpoint or restore of it that is under way")]
Timeout = Annotated[int | None, typer.Option("--time", "-t", min=0, help="Seconds until SIGKILL")]


def chosen(
    found: Engine, names: list[str] | None, every: bool, statuses: Collection[Status], *, down: bool = False
) -> list[str]:
    """The containers a command is for: those named, or with --all those in one of ``statuses``.

    All of them come up in the order of what they need of each other, and go ``down`` in the other.
    """
    if every and names:
        raise UsageError("no arguments are needed with --all")
    if every:
        every_one = [container.id for container in found.containers() if container.status in statuses]
        return every_one[::-1] if down else every_one
    if not names:
        raise UsageError("you must provide at least one name or id")
    return names


@app.command()
def stop(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    time: Timeout = None,
    force: Force = False,
    ignore: Ignore = False,
) -> None:
    """Stop running containers: their stop signal, and SIGKILL when they take too long."""
    from pyodcr.lifecycle.ops.stop import StopOptions

    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.stop(ref, StopOptions(timeout_s=time, force=force))
            print(ref)

        refs = chosen(found, names, all_, ALLOWED[Op.STOP], down=True)
        for_each(refs, act, ignoring=NotFound if ignore else None)


@app.command()
def restart(ctx: typer.Context, names: Names = None, all_: All = False, time: Timeout = None) -> None:
    """Stop containers and start them again."""
    from pyodcr.lifecycle.ops.stop import StopOptions

    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.restart(ref, StopOptions(timeout_s=time))
            print(ref)

        for_each(chosen(found, names, all_, STARTABLE | {Status.RUNNING}), act)


@app.command()
def kill(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    signal: Annotated[str, typer.Option("--signal", "-s", help="Name or number")] = "KILL",
    force: Force = False,
) -> None:
    """Send a signal to the first process of running containers."""
    from pyodcr.lifecycle.spec.signals import parse

    number = parse(signal)
    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.kill(ref, number, force=force)
            print(ref)

        for_each(chosen(found, names, all_, LIVE), act)


@app.command()
def pause(ctx: typer.Context, names: Names = None, all_: All = False) -> None:
    """Freeze all processes of containers."""
    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.pause(ref)
            print(ref)

        for_each(chosen(found, names, all_, {Status.RUNNING}), act)


@app.command()
def unpause(ctx: typer.Context, names: Names = None, all_: All = False) -> None:
    """Let the processes of frozen containers run on."""
    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.unpause(ref)
            print(ref)

        for_each(chosen(found, names, all_, {Status.PAUSED}), act)


@app.command()
def rm(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also running and paused ones, and none at all")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", "-v", help="Anonymous volumes too")] = False,
    time: Timeout = None,
    ignore: Ignore = False,
) -> None:
    """Remove containers. Exit status 1: one was not found; 2: one is running."""
    from pyodcr.lifecycle.ops.remove import RemoveOptions

    options = RemoveOptions(force=force, volumes=volumes, timeout_s=time)
    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.remove(ref, options)
            print(ref)

        for_each(
            chosen(found, names, all_, frozenset(Status), down=True),
            act,
            ignoring=NotFound if ignore or force else None,
            status=_removal_status,
        )


def _removal_status(error: PyodcrError) -> int:
    if isinstance(error, NotFound):
        return 1
    return 2 if isinstance(error, WrongState) else error.exit_status


@app.command()
def wait(ctx: typer.Context, names: Names = None, ignore: Ignore = False) -> None:
    """Wait until containers are dead and print their exit codes, a line each."""
    with engine(ctx) as found:

        def act(ref: str) -> None:
            print(found.wait(ref))

        for_each(chosen(found, names, False, ()), act, ignoring=NotFound if ignore else None)
