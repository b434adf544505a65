"""volume: create, ls, inspect, rm."""

from __future__ import annotations

from typing import Annotated

import typer

from pyodcr import jsonio
from pyodcr.cli import output, stores
from pyodcr.cli.failures import for_each
from pyodcr.cli.output import Columns
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import Volume

app = new_app()

COLUMNS = Columns(("Driver", "Name"), {"Name": "VOLUME NAME"})

Names = Annotated[list[str] | None, typer.Argument(metavar="VOLUME...", help="Names")]
All = Annotated[bool, typer.Option("--all", "-a", help="All volumes")]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Without one, a random one is made up")] = "",
    labels: Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="Metadata")] = None,
    options: stores.Options = None,
    driver: Annotated[str, typer.Option("--driver", "-d", help="The one there is: local")] = "local",
    ignore: Annotated[bool, typer.Option("--ignore", help="If there is one of that name, fine")] = False,
) -> None:
    """Create a volume and print its name."""
    with engine(ctx) as found:
        volume = found.create_volume(
            name,
            labels=stores.pairs(labels, "label"),
            options=stores.pairs(options, "option"),
            driver=driver,
            ignore=ignore,
        )
    print(volume.name)


@app.command("list", hidden=True)
@app.command()
def ls(
    ctx: typer.Context,
    filters: stores.Filters = None,
    quiet: output.Quiet = False,
    wanted: output.Format = "",
    noheading: stores.NoHeading = False,
) -> None:
    """List volumes.

    Filters: anonymous, dangling, driver, label, name.
    """
    if quiet and wanted:
        raise UsageError("quiet and format flags cannot be used together")
    with engine(ctx) as found:
        volumes = found.listed_volumes(filters or ())
    if output.is_json(wanted):
        output.show_json([described(volume) for volume in volumes])
    elif quiet:
        for volume in volumes:
            print(volume.name)
    elif volumes:
        output.show([described(volume, whole=True) for volume in volumes], wanted, COLUMNS, heading=not noheading)


@app.command()
def inspect(ctx: typer.Context, names: Names = None, all_: All = False, wanted: output.InspectFormat = "") -> None:
    """Show everything known about volumes."""
    _require_some(names, every=all_)
    with engine(ctx) as found:
        refs = [volume.name for volume in found.volumes()] if all_ else names or ()
        stores.inspect_each(refs, lambda ref, whole: described(found.volume(ref), whole=whole), wanted)


@app.command()
def rm(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    force: stores.Force = False,
    time: stores.Timeout = None,
) -> None:
    """Remove volumes with all they hold.

    Exit status 1: one was not found; 2: one is in use by a container.
    """
    _require_some(names, every=all_)
    with engine(ctx) as found:
        for_each(
            [volume.name for volume in found.volumes()] if all_ else names or (),
            lambda ref: print(found.remove_volume(ref, force=force, timeout_s=time).name),
            ignoring=NotFound if force else None,
            status=stores.removal_status,
        )


def described(volume: Volume, *, whole: bool = False) -> JsonObject:
    """Podman's ``VolumeConfigResponse``; ``whole``: with the fields that are empty, for templates.

    There are no drivers' options, so nothing is ever mounted for a volume's own sake.
    """
    return {**jsonio.encode(volume, whole=whole), "Scope": "local", "MountCount": 0}


def _require_some(names: list[str] | None, *, every: bool) -> None:
    if bool(names) is every:
        raise UsageError("choose either one or more volumes or all")
