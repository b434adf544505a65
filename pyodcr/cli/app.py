"""The table of commands; a command's module is imported when it is invoked, and only then.

``pyodcr ps`` would otherwise load boto3, zstandard and everything else that some command needs. Help texts
of the top level stand in the table for the same reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pyodcr import __version__, config
from pyodcr.cli import session
from pyodcr.cli.session import Group, new_app


@dataclass(frozen=True, slots=True)
class Entry:
    """Which module defines a command, and its line in the help.

    ``group``: the module's whole app is meant; ``command``: it has another name there.
    """

    module: str
    help: str
    group: bool = False
    hidden: bool = False
    command: str = ""


CONTAINER: Mapping[str, Entry] = {
    "attach": Entry("attach", "Attach to a running container"),
    "checkpoint": Entry("checkpoint", "Checkpoint running containers, to disk, a pipe or S3"),
    "cleanup": Entry("cleanup", "Clean up after a dead container (conmon calls it)", hidden=True),
    "create": Entry("create", "Create a container without starting it"),
    "diff": Entry("files", "List what a container changed in its root filesystem"),
    "exec": Entry("exec", "Run a command in a running container"),
    "export": Entry("files", "Write a container's root filesystem as a tar archive"),
    "inspect": Entry("inspect", "Show everything known about containers"),
    "kill": Entry("lifecycle", "Send a signal to running containers"),
    "logs": Entry("logs", "Show the output of a container"),
    "list": Entry("ps", "List containers", hidden=True, command="ps"),
    "ls": Entry("ps", "List containers", hidden=True, command="ps"),
    "mount": Entry("files", "Mount a container's root filesystem"),
    "pause": Entry("lifecycle", "Freeze the processes of containers"),
    "ps": Entry("ps", "List containers"),
    "recover": Entry("cleanup", "Finish or undo what a dead process left (its guard calls it)", hidden=True),
    "restart": Entry("lifecycle", "Stop and start containers"),
    "restore": Entry("restore", "Restore containers, from local images or an archive"),
    "rm": Entry("lifecycle", "Remove containers"),
    "run": Entry("create", "Create and start a container"),
    "start": Entry("start", "Start containers"),
    "stop": Entry("lifecycle", "Stop running containers"),
    "umount": Entry("files", "Unmount a container's root filesystem", hidden=True, command="unmount"),
    "unmount": Entry("files", "Unmount a container's root filesystem"),
    "unpause": Entry("lifecycle", "Let frozen containers run on"),
    "wait": Entry("lifecycle", "Wait for containers to die and print their exit codes"),
}
TOP: Mapping[str, Entry] = {
    **{name: entry for name, entry in CONTAINER.items() if name not in ("cleanup", "recover", "list", "ls")},
    "container": Entry("container", "The same commands, as `pyodcr container X`", group=True),
    "events": Entry("events", "Show what happened"),
    "image": Entry("image", "Import, pull, list and remove images", group=True),
    "images": Entry("image", "List images", command="ls"),
    "import": Entry("image", "Make an image from a tarball of a root filesystem"),
    "info": Entry("system", "Show facts about this host and this installation"),
    "network": Entry("network", "Create, list and remove networks", group=True),
    "pull": Entry("image", "Fetch images"),
    "rmi": Entry("image", "Remove images", command="rm"),
    "system": Entry("system", "Check, describe and tidy up this host", group=True),
    "tag": Entry("image", "Give an image further names"),
    "version": Entry("system", "Show versions"),
    "volume": Entry("volume", "Create, list and remove volumes", group=True),
}


class LazyGroup(Group):
    """A group whose commands come from a table of :class:`Entry`."""

    table: Mapping[str, Entry] = TOP

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(self.visible())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.table.get(cmd_name)
        return None if entry is None else load(entry, cmd_name)

    def visible(self) -> dict[str, str]:
        return {name: entry.help for name, entry in self.table.items() if not entry.hidden}

    def knows(self, name: str) -> bool:
        return name in self.table


class ContainerGroup(LazyGroup):
    table = CONTAINER


def load(entry: Entry, name: str) -> Any:
    """The command, from its module."""
    group = typer.main.get_group(importlib.import_module(f"pyodcr.cli.{entry.module}").app)
    if entry.group:
        group.help = entry.help
        return group
    return group.commands[entry.command or name]


app = new_app(cls=LazyGroup)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pyodcr version {__version__}")
        raise typer.Exit


@app.callback()
def main(
    ctx: typer.Context,
    root: Annotated[Path | None, typer.Option(help="Durable state: images, containers, volumes")] = None,
    runroot: Annotated[Path | None, typer.Option(help="State of this boot")] = None,
    runtime: Annotated[str | None, typer.Option(help="OCI runtime, by name or path")] = None,
    config_file: Annotated[Path | None, typer.Option("--config", help="The one configuration file to read")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "warning",
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_print_version, is_eager=True, help="Print the version")
    ] = False,
) -> None:
    """Checkpoint, restore and migrate Linux containers."""
    session.log_at(log_level)
    ctx.obj = config.load(file=config_file, root=root, runroot=runroot, runtime=runtime)
