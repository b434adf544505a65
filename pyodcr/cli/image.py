"""image: import, pull, ls, rm, inspect, tag."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from pyodcr import jsonio
from pyodcr.cli import output, steps, stores, units
from pyodcr.cli.failures import for_each
from pyodcr.cli.output import Columns
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.storage import imageinspect
from pyodcr.lifecycle.storage.pulling import PullPolicy

app = new_app()

SHORT_ID_CHARS = 12
HEADINGS = {"ID": "IMAGE ID", "CreatedSince": "CREATED"}

Name = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or ID")]
Names = Annotated[list[str] | None, typer.Argument(metavar="IMAGE...", help="Names or IDs")]


class Sort(StrEnum):
    CREATED = "created"
    ID = "id"
    REPOSITORY = "repository"
    SIZE = "size"
    TAG = "tag"


SORTS: Mapping[Sort, Callable[[JsonObject], Any]] = {
    Sort.CREATED: lambda entry: -entry["CreatedUnix"],
    Sort.ID: lambda entry: entry["Id"],
    Sort.REPOSITORY: lambda entry: (entry["Repository"], entry["Tag"]),
    Sort.SIZE: lambda entry: entry["VirtualSize"],
    Sort.TAG: lambda entry: entry["Tag"],
}


@app.command("import")
def import_(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="Tarball, compressed or not; - is standard input")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="What to call the image")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--change", "-c", help='Instruction of a Dockerfile, such as CMD ["/bin/sh"]')
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Comment in the image's history")] = "",
    arch: Annotated[str, typer.Option(help="Architecture of its programs, if not this host's")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress")] = False,
) -> None:
    """Make an image of one layer from a tarball of a root filesystem, and print its ID.

    Instructions: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.
    """
    with engine(ctx) as found, steps.shown(quiet=quiet) as report:
        image = found.import_image(
            _opened(source), name, changes=tuple(changes or ()), message=message, architecture=arch, report=report
        )
    print(f"sha256:{image.id}")


def _opened(source: str) -> BinaryIO | Path:
    if source != "-":
        return Path(source)
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal, not a tarball", hint="pipe one in, or name a file")
    return sys.stdin.buffer


@app.command()
def pull(
    ctx: typer.Context,
    names: Names = None,
    policy: Annotated[PullPolicy, typer.Option(help="When to fetch what is here already")] = PullPolicy.ALWAYS,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress")] = False,
    tls_verify: Annotated[
        bool | None, typer.Option(help="Insist on HTTPS and valid certificates, or do not (else: registries.conf)")
    ] = None,
    creds: Annotated[str, typer.Option(metavar="USER:PASSWORD", help="For the registry")] = "",
    authfile: Annotated[Path | None, typer.Option(help="Credentials, as `podman login` writes them")] = None,
) -> None:
    """Fetch images, and print their IDs.

    From a registry (HOST/NAME:TAG; without HOST from docker.io), or from a file or directory:
    oci:DIRECTORY[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIRECTORY.
    """
    from pyodcr.lifecycle.storage.skopeo import Access

    if not names:
        raise UsageError("you must name at least one image to pull")
    access = Access(tls_verify=tls_verify, creds=creds, authfile=authfile)
    with engine(ctx) as found:

        def act(ref: str) -> None:
            with steps.shown(quiet=quiet) as report:
                image = found.pull_image(ref, policy=policy, access=access, report=report)
            print(image.id)

        for_each(names, act)


@app.command()
def tag(
    ctx: typer.Context,
    name: Name,
    targets: Annotated[list[str], typer.Argument(metavar="NAME...", help="Further names")],
) -> None:
    """Give an image further names; another image that has one of them loses it."""
    with engine(ctx) as found:
        for target in targets:
            found.tag_image(name, target)


@app.command("list", hidden=True)
@app.command("ls")
def ls(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[IMAGE]", help="As --filter reference=IMAGE")] = "",
    filters: stores.Filters = None,
    quiet: output.Quiet = False,
    no_trunc: output.NoTrunc = False,
    digests: Annotated[bool, typer.Option("--digests", help="A column with the digests")] = False,
    wanted: output.Format = "",
    sort: Annotated[Sort, typer.Option(help="What to sort by")] = Sort.CREATED,
    noheading: stores.NoHeading = False,
) -> None:
    """List images, newest first.

    Filters: after, before, dangling, id, label, reference, since.
    """
    if name and filters:
        raise UsageError("cannot specify an image and a filter(s)")
    with engine(ctx) as found:
        entries = found.listed_images([*(filters or ()), *([f"reference={name}"] if name else [])])
    now = jsonio.now()
    rows = sorted((row for entry in entries for row in rows_of(entry, now, short=not no_trunc)), key=SORTS[sort])
    order = list(dict.fromkeys(row["Id"] for row in rows))
    if output.is_json(wanted):
        output.show_json(sorted((_summary(entry) for entry in entries), key=lambda entry: order.index(entry["Id"])))
    elif quiet and not wanted:
        for image_id in order:
            print(_shown_id(image_id, short=not no_trunc))
    else:
        fields = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince", "Size")
        output.show(rows, wanted, Columns(fields, HEADINGS), heading=not noheading)


def _summary(entry: JsonObject) -> JsonObject:
    return {name: value for name, value in entry.items() if name != "Tags"}


def rows_of(entry: JsonObject, now: datetime, *, short: bool) -> Iterable[JsonObject]:
    """One for each tag, with the fields of Podman's templates."""
    created = datetime.fromtimestamp(entry["Created"], UTC)
    since = units.ago(created, now)
    for repository, tag_ in entry["Tags"]:
        yield {
            **_summary(entry),
            "Repository": repository,
            "Tag": tag_,
            "ID": _shown_id(entry["Id"], short=short),
            "Created": since,
            "CreatedSince": since,
            "CreatedAt": units.timestamp(created),
            "CreatedTime": units.timestamp(created),
            "CreatedUnix": entry["Created"],
            "Size": units.size(entry["Size"], space=" "),
            "History": ", ".join(entry["History"]),
        }


def _shown_id(image_id: str, *, short: bool) -> str:
    return image_id[:SHORT_ID_CHARS] if short else f"sha256:{image_id}"


@app.command()
def inspect(ctx: typer.Context, names: Names = None, wanted: output.InspectFormat = "") -> None:
    """Show everything known about images."""
    if not names:
        raise UsageError("you must provide at least one name or id")
    with engine(ctx) as found:

        def find(ref: str, whole: bool) -> JsonObject:
            image = found.images.lookup(ref)
            return imageinspect.inspect(image, found.images.layer_dirs(image), whole=whole)

        stores.inspect_each(names, find, wanted)


@app.command()
def rm(
    ctx: typer.Context,
    names: Names = None,
    all_: Annotated[bool, typer.Option("--all", "-a", help="All images")] = False,
    force: stores.Force = False,
    ignore: Annotated[bool, typer.Option("--ignore", "-i", help="Say nothing of images that are not there")] = False,
) -> None:
    """Remove images, or of several names of an image the one given.

    Exit status 1: one was not found; 2: one is in use by a container.
    """
    if all_ and names:
        raise UsageError("when using the --all switch, you may not pass any images names or IDs")
    if not all_ and not names:
        raise UsageError("image name or ID must be specified")
    with engine(ctx) as found:

        def act(ref: str) -> None:
            removed = found.remove_image(ref, force=force, every_name=all_)
            for name in removed.untagged:
                print(f"Untagged: {name}")
            if removed.deleted:
                print(f"Deleted: {removed.deleted}")

        for_each(
            [image.id for image in found.images.list()] if all_ else names or (),
            act,
            ignoring=NotFound if ignore or force else None,
            status=stores.removal_status,
        )
