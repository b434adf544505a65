"""system: check, info, operations, prune; and version."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyodcr import jsonio
from pyodcr.cli import output
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError

if TYPE_CHECKING:
    from pyodcr.checkpoint.hostcheck import CheckResult
    from pyodcr.lifecycle.ops.unfinished import Unfinished

app = new_app()

NAMES = {
    "Version": "pyodcr",
    "PythonVersion": "Python",
    "CriuVersion": "CRIU",
    "CrunVersion": "crun",
    "RuncVersion": "runc",
    "ConmonVersion": "conmon",
    "NetavarkVersion": "netavark",
    "Kernel": "kernel",
    "OsArch": "OS/Arch",
}
PLAIN_YAML = re.compile(r"[A-Za-z/][\w ./:+()-]*(?<![ :])")
YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
MIN_COLUMNS = 60
OPERATIONS = output.Columns(("ID", "Kind", "Container", "Stage", "Plan"), {"ID": "OPERATION", "Plan": "WHAT FOLLOWS"})


@app.command()
def check(
    ctx: typer.Context,
    wanted: Annotated[str, typer.Option("--format", metavar="FORMAT", help="json, or a Go template: {{.Name}}")] = "",
) -> None:
    """Check what this host has, what it lacks, what will not work, and how to mend it.

    Exit status 1: containers cannot run, or cannot be checkpointed and restored. A warning or something that
    is missing does not count: the rest works without it.
    """
    with engine(ctx) as found:
        results = found.check_host()
    if output.is_json(wanted):
        output.show_json([jsonio.encode(result, whole=True) for result in results])
    elif wanted:
        output.show([jsonio.encode(result, whole=True) for result in results], wanted, output.Columns(()))
    else:
        for line in report(results, columns=max(MIN_COLUMNS, shutil.get_terminal_size((100, 24)).columns)):
            print(line)
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def report(results: Sequence[CheckResult], *, columns: int) -> Iterator[str]:
    """A table; what is not in order has its explanation and its remedy on lines of their own."""
    from textwrap import wrap

    name_chars = 2 + max(len(result.name) for result in results)
    status_chars = 2 + max(len(result.status) for result in results)
    indent = " " * (name_chars + status_chars)
    yield f"{'NAME':{name_chars}}{'STATUS':{status_chars}}FOUND"
    for result in results:
        head = f"{result.name:{name_chars}}{result.status:{status_chars}}"
        text = ": ".join(part for part in (result.found, result.detail) if part) or "-"
        yield from wrap(text, columns, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
        if result.hint:
            hint = f"{indent}-> "
            yield from wrap(
                result.hint, columns, initial_indent=hint, subsequent_indent=f"{indent}   ", break_on_hyphens=False
            )


@app.command()
def info(ctx: typer.Context, wanted: output.InspectFormat = "") -> None:
    """Show facts about this host and this installation."""
    with engine(ctx) as found:
        facts = found.info()
    if not wanted:
        for line in as_yaml(facts):
            print(line)
    elif output.is_json(wanted):
        output.show_json(facts)
    else:
        output.show_inspected([facts], wanted)


def as_yaml(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Mappings, lists of texts, and scalars: all that there is."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield f"{indent}{name}:"
            yield from as_yaml(item, f"{indent}  ")
        elif isinstance(item, list):
            yield f"{indent}{name}:" + ("" if item else " []")
            yield from (f"{indent}- {_scalar(one)}" for one in item)
        else:
            yield f"{indent}{name}: {_scalar(item)}"


def _scalar(value: Any) -> str:
    plain = isinstance(value, str) and PLAIN_YAML.fullmatch(value) and value.lower() not in YAML_WORDS
    return value if plain and ": " not in value else jsonio.dumps(value)


@app.command()
def operations(
    ctx: typer.Context,
    wanted: output.Format = "",
    no_trunc: output.NoTrunc = False,
    noheading: output.NoHeading = False,
) -> None:
    """List the checkpoints and restores that are under way, and what would be done about those that nobody finishes.

    One whose owner was killed is finished or undone by its guard at once, else by the next command on its container,
    or by pyodcr system prune.
    """
    with engine(ctx) as found:
        rows = [_operation(unfinished, short=not (no_trunc or wanted)) for unfinished in found.unfinished()]
    if output.is_json(wanted):
        output.show_json(rows)
    else:
        output.show(rows, wanted, OPERATIONS, heading=not noheading)


def _operation(unfinished: Unfinished, *, short: bool) -> dict[str, Any]:
    operation = unfinished.operation
    plan = ", ".join(unfinished.steps)
    return {
        "ID": operation.id,
        "Kind": str(operation.kind),
        "Container": unfinished.container or (operation.container[:12] if short else operation.container),
        "ContainerID": operation.container,
        "Stage": str(operation.stage),
        "Owner": operation.owner_pid,
        "OwnerLives": unfinished.owner_lives,
        "StartedAt": operation.started_at.isoformat() if operation.started_at else "",
        "Archive": operation.archive,
        "Steps": list(unfinished.steps),
        "Plan": f"wait for process {operation.owner_pid}" if unfinished.owner_lives else plan,
    }


@app.command()
def prune(
    ctx: typer.Context,
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not ask")] = False,
) -> None:
    """Remove what killed processes left behind, and print it.

    Operations that nobody will finish are undone, half-made images, removed volumes, network attachments and
    directories of containers that are no more are deleted. Unlike Podman's, it touches no container, image,
    volume or network that has a name.
    """
    if not force and not _agreed():
        return
    with engine(ctx) as found:
        for leftover in found.prune():
            if leftover.kept:
                print(f"warning: {leftover.kind} {leftover.name} stays: {leftover.kept}", file=sys.stderr)
            else:
                print(f"{leftover.kind}: {leftover.name}")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint="pyodcr system prune --force does not ask")
    print("This removes what killed processes left behind. Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@app.command(hidden=True)
def version(ctx: typer.Context, wanted: output.InspectFormat = "") -> None:
    """Show the versions of pyodcr and of what it works with."""
    with engine(ctx) as found:
        facts = found.versions()
    if not wanted:
        output.show_table(None, [[f"{label}:", str(facts[name]) or "-"] for name, label in NAMES.items()])
    elif output.is_json(wanted):
        print(jsonio.dumps({"Client": facts}))
    else:
        # Podman's users write {{.Client.Version}} or {{.Version}}
        output.show_inspected([{**facts, "Client": facts}], wanted)
