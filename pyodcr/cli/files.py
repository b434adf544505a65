"""diff, export, mount, unmount: a container's root filesystem."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pyodcr.cli import output
from pyodcr.cli.failures import for_each
from pyodcr.cli.lifecycle import All, Names, chosen
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Status
from pyodcr.linux import files

app = new_app()

SHORT_ID_CHARS = 12
KINDS = {"A": "added", "C": "changed", "D": "deleted"}

JsonFormat = Annotated[str, typer.Option("--format", metavar="json", help="The one other format: json")]


@app.command()
def diff(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="CONTAINER")], wanted: JsonFormat = ""
) -> None:
    """List what a container changed in its root filesystem: A added, C changed, D deleted."""
    if wanted and not output.is_json(wanted):
        raise UsageError("only supported value for '--format' is 'json'")
    with engine(ctx) as found:
        changes = found.diff(name)
    if wanted:
        listed = {word: [path for kind, path in changes if kind == sign] for sign, word in KINDS.items()}
        output.show_json({word: paths for word, paths in listed.items() if paths}, indent=5)
        return
    for kind, path in changes:
        print(kind, path)


@app.command()
def export(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER")],
    target: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output")] = "-",
) -> None:
    """Write a container's root filesystem, without its volumes, as a tar archive.

    A file appears under its name when it is complete.
    """
    if target == "-" and sys.stdout.isatty():
        raise UsageError("refusing to export to terminal", hint="use -o FILE, or a redirection")
    with engine(ctx) as found:
        found.container(name)  # no file for a container that is not there
        with _opened(target) as sink:
            found.export(name, sink)


@contextmanager
def _opened(target: str) -> Iterator[BinaryIO]:
    path = Path(target)
    if target == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
    elif _is_special(path):  # a device or pipe is written to, not replaced
        try:
            special = path.open("wb")
        except OSError as error:
            raise files.failed("write", path, error) from error
        with special:
            yield special
    else:
        with files.replacing(path, mode=0o644) as sink:
            yield sink


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


@app.command()
def mount(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    wanted: JsonFormat = "",
    no_trunc: output.NoTrunc = False,
) -> None:
    """Mount root filesystems and print where; without a name, list what is mounted.

    As often as one is mounted, it has to be unmounted.
    """
    if wanted and not output.is_json(wanted):
        raise UsageError(f'unknown --format argument: "{wanted}"', hint="json is the only one")
    with engine(ctx) as found:
        if names or all_:
            for_each(chosen(found, names, all_, frozenset(Status)), lambda ref: print(found.mount(ref)))
            return
        mounted = [container for container in found.containers() if container.state.mountpoint]
    if wanted:
        output.show_json(
            [
                {"id": container.id, "Names": [container.name], "mountpoint": container.state.mountpoint}
                for container in mounted
            ]
        )
        return
    rows = [
        (container.id if no_trunc else container.id[:SHORT_ID_CHARS], container.state.mountpoint)
        for container in mounted
    ]
    output.show_table(None, rows)


@app.command()
def unmount(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="However often it was mounted")] = False,
) -> None:
    """Give back root filesystems that were mounted with `pyodcr mount`; a running container keeps its own."""
    with engine(ctx) as found:
        if all_ and not names:
            refs = [container.id for container in found.containers() if container.state.mount_count]
        else:
            refs = chosen(found, names, all_, ())

        def act(ref: str) -> None:
            found.unmount(ref, force=force)
            print(ref)

        for_each(refs, act)
