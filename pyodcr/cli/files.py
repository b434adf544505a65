"""diff, export, mount, unmount: a container's root filesystem."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pyodcr.cli import output
from pyodcr.cli.failures import for_each
from pyodcr.cli.lifecycle import All, Names, chosen
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Status
from pyodcr.linux import files

app = new_app()

KINDS = {"A": "added", "C": "changed", "D": "deleted"}


@app.command()
def diff(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER")],
    format_: Annotated[str, typer.Option("--format", help="json")] = "",
) -> None:
    """List what a container changed: A added, C changed, D deleted."""
    if format_ not in ("", "json"):
        raise UsageError("only supported value for '--format' is 'json'")
    with engine(ctx) as found:
        changes = found.diff(name)
    if not format_:
        for kind, path in changes:
            print(kind, path)
        return
    listed = {word: [path for found_kind, path in changes if found_kind == kind] for kind, word in KINDS.items()}
    output.show_json({word: paths for word, paths in listed.items() if paths})


@app.command()
def export(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER")],
    target: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output")] = "-",
) -> None:
    """Write a container's root filesystem as a tar archive."""
    to_stdout = target == "-"
    if to_stdout and sys.stdout.isatty():
        raise UsageError("refusing to export to terminal", hint="use -o FILE, or a redirection")
    with engine(ctx) as found:
        found.container(name)
        with nullcontext(sys.stdout.buffer) if to_stdout else files.replacing(Path(target), mode=0o644) as sink:
            found.export(name, sink)


@app.command()
def mount(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
) -> None:
    """Mount root filesystems and print where; without a name, list what is mounted."""
    with engine(ctx) as found:
        if not names and not all_:
            for container in found.containers():
                if container.state.mountpoint:
                    print(f"{container.config.short_id}  {container.state.mountpoint}")
            return
        refs = chosen(found, names, all_, frozenset(Status))

        def act(ref: str) -> None:
            place = found.mount(ref)
            print(place if len(refs) == 1 else f"{ref} {place}")

        for_each(refs, act)


@app.command()
def unmount(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="However often it was mounted")] = False,
) -> None:
    """Unmount root filesystems that were mounted with `pyodcr mount`; a running container keeps its own."""
    with engine(ctx) as found:
        if all_:
            refs = [container.id for container in found.containers() if container.state.mount_count]
        else:
            refs = chosen(found, names, False, ())

        def act(ref: str) -> None:
            found.unmount(ref, force=force)
            print(ref)

        for_each(refs, act)
