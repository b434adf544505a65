"""inspect, for every kind of thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from pyodcr.cli import output, stores
from pyodcr.cli.session import engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject

app = new_app()


class Kind(StrEnum):
    ALL = "all"
    CONTAINER = "container"
    IMAGE = "image"
    VOLUME = "volume"
    NETWORK = "network"


@app.command()
def inspect(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Names or IDs")] = None,
    wanted: output.InspectFormat = "",
    kind: Annotated[Kind, typer.Option("--type", "-t", help="What the names are of")] = Kind.ALL,
    size: Annotated[
        bool, typer.Option("--size", "-s", help="Of containers: what they wrote, and their whole size")
    ] = False,
    latest: Annotated[bool, typer.Option("--latest", "-l", help="The newest container")] = False,
) -> None:
    """Show everything known about containers, images, volumes and networks, as JSON or through a template.

    A name that several of them have is the container's, else the image's, else the volume's.
    """
    if size and kind not in (Kind.ALL, Kind.CONTAINER):
        raise UsageError(f'size is not supported for type "{kind}"')
    if latest and names:
        raise UsageError("--latest and arguments cannot be used together")
    if not latest and not names:
        raise UsageError("no names or ids specified")
    with engine(ctx) as found:
        stores.inspect_each(
            [_newest(found)] if latest else names or (),
            lambda name, whole: _inspected(found, name, kind, size=size, whole=whole),
            wanted,
        )


def _newest(found: Engine) -> str:
    from pyodcr.lifecycle.ops.listing import ListOptions

    newest = found.listed(ListOptions(last=1))
    if not newest:
        raise NotFound("there is no container")
    return str(newest[0]["Id"])


def _inspected(found: Engine, name: str, kind: Kind, *, size: bool, whole: bool) -> JsonObject:
    if kind is Kind.CONTAINER:
        return found.inspect(name, size=size)
    if kind is not Kind.ALL:
        return LOOKERS[kind](found, name, whole)
    with suppress(NotFound):
        return found.inspect(name, size=size)
    for look in LOOKERS.values():
        with suppress(NotFound, UsageError):  # what cannot be an image's name may be a volume's
            return look(found, name, whole)
    raise NotFound(f'no such object: "{name}"', hint="a container, image, volume or network, by name or ID")


def _image(found: Engine, name: str, whole: bool) -> JsonObject:
    from pyodcr.lifecycle.storage import imageinspect

    image = found.images.lookup(name)
    return imageinspect.inspect(image, found.images.layer_dirs(image), whole=whole)


def _volume(found: Engine, name: str, whole: bool) -> JsonObject:
    from pyodcr.cli.volume import described

    return described(found.volume(name), whole=whole)


def _network(found: Engine, name: str, whole: bool) -> JsonObject:
    from pyodcr.lifecycle.network import report

    network = found.networks.get(name)
    return report.inspected(network, found.network_users(network.name), whole=whole)


LOOKERS: Mapping[Kind, Callable[[Engine, str, bool], JsonObject]] = {
    Kind.IMAGE: _image,
    Kind.VOLUME: _volume,
    Kind.NETWORK: _network,
}
