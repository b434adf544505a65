"""inspect, for every kind of thing; `image inspect`, `volume inspect` and `network inspect` use it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from pyodcr import jsonio
from pyodcr.cli import output
from pyodcr.cli.failures import for_each
from pyodcr.cli.session import engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.models import Volume
from pyodcr.lifecycle.transitions import LIVE

app = new_app()


class Kind(StrEnum):
    ALL = "all"
    CONTAINER = "container"
    IMAGE = "image"
    VOLUME = "volume"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Inspected:
    """``shown`` is printed as JSON; ``fields`` is for templates, where what JSON leaves out is there too."""

    shown: JsonObject
    fields: JsonObject


@app.command()
def inspect(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Names or IDs")] = None,
    wanted: output.InspectFormat = "",
    kind: Annotated[Kind, typer.Option("--type", "-t", help="What the names are of")] = Kind.ALL,
    size: Annotated[
        bool, typer.Option("--size", "-s", help="Containers: what they wrote, and their whole size")
    ] = False,
    latest: Annotated[bool, typer.Option("--latest", "-l", help="The newest container")] = False,
) -> None:
    """Show everything known about containers, images, volumes and networks, as JSON or through a template."""
    if size and kind not in (Kind.ALL, Kind.CONTAINER):
        raise UsageError(f'size is not supported for type "{kind}"')
    with engine(ctx) as found:
        if latest:
            names = [_newest(found, names)]
            kind = Kind.CONTAINER
        show(found, names or [], kind, wanted, size=size)


def _newest(found: Engine, names: list[str] | None) -> str:
    from pyodcr.lifecycle.ops.listing import ListOptions

    if names:
        raise UsageError("--latest and arguments cannot be used together")
    newest = found.listed(ListOptions(last=1))
    if not newest:
        raise NotFound("there is no container")
    return str(newest[0]["Id"])


def show(found: Engine, names: Sequence[str], kind: Kind, wanted: str, *, size: bool = False) -> None:
    """Print what is found; what is not is told afterwards, and makes the exit status."""
    if not names:
        raise UsageError("no names or ids specified")
    results: list[Inspected] = []

    def act(name: str) -> None:
        results.append(_inspect(found, name, kind, size=size))

    try:
        for_each(names, act)
    finally:
        is_json = not wanted or output.is_json(wanted)
        output.show_inspected([result.shown if is_json else result.fields for result in results], wanted)


def _inspect(found: Engine, name: str, kind: Kind, *, size: bool) -> Inspected:
    if kind is Kind.CONTAINER:
        return _container(found, name, size=size)
    if kind is not Kind.ALL:
        return LOOKERS[kind](found, name)
    with suppress(NotFound):
        return _container(found, name, size=size)
    for look in LOOKERS.values():
        with suppress(NotFound, UsageError):  # what cannot be an image's name may be a volume's
            return look(found, name)
    raise NotFound(f'no such object: "{name}"', hint="a container, image, volume or network, by name or ID")


def _container(found: Engine, name: str, *, size: bool) -> Inspected:
    shown = found.inspect(name, size=size)
    return Inspected(shown, shown)


def _image(found: Engine, name: str) -> Inspected:
    from pyodcr.lifecycle.storage import imageinspect

    image = found.images.lookup(name)
    shown = imageinspect.inspect(image, found.images.layer_dirs(image))
    tables = {key: Table(shown[key] or {}) for key in ("Labels", "Annotations")}
    return Inspected(shown, {**shown, **tables, "Config": jsonio.encode(image.config, whole=True)})


def _volume(found: Engine, name: str) -> Inspected:
    shown = volume_fields(found, found.volume(name))
    return Inspected(shown, shown)


def volume_fields(found: Engine, volume: Volume) -> JsonObject:
    """``podman volume inspect``'s keys."""
    live = [user for user in found.volume_users(volume.name) if user.status in LIVE]
    fields: JsonObject = jsonio.encode(volume, whole=True)
    return {**fields, "Scope": "local", "MountCount": len(live), "LockNumber": 0}


def _network(found: Engine, name: str) -> Inspected:
    from pyodcr.lifecycle.network import report

    network = found.networks.get(name)
    shown = report.inspected(network, found.containers())
    return Inspected(shown, {**jsonio.encode(network, whole=True), "containers": Table(shown["containers"])})


LOOKERS: Mapping[Kind, Callable[[Engine, str], Inspected]] = {
    Kind.IMAGE: _image,
    Kind.VOLUME: _volume,
    Kind.NETWORK: _network,
}
