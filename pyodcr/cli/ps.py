"""ps: the command that must start at once, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from pyodcr import jsonio
from pyodcr.cli import output, units
from pyodcr.cli.output import Columns
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.ops.listing import ListOptions

app = new_app()

SHORT_ID_CHARS = 12
COMMAND_CHARS = 17
COLUMNS = ("ID", "Image", "Command", "CreatedHuman", "Status", "Ports", "Names")
HEADINGS = {
    "CreatedHuman": "CREATED",
    "ID": "CONTAINER ID",
    "Pod": "POD ID",
    "PodName": "PODNAME",
    "RunningFor": "RUNNING FOR",
}


class Sort(StrEnum):
    COMMAND = "command"
    CREATED = "created"
    ID = "id"
    IMAGE = "image"
    NAMES = "names"
    RUNNINGFOR = "runningfor"
    SIZE = "size"
    STATUS = "status"


SORTS: Mapping[Sort, Callable[[JsonObject], Any]] = {
    Sort.COMMAND: lambda entry: entry["Command"],
    Sort.CREATED: lambda entry: entry["Created"],
    Sort.ID: lambda entry: entry["Id"],
    Sort.IMAGE: lambda entry: entry["Image"],
    Sort.NAMES: lambda entry: entry["Names"],
    Sort.RUNNINGFOR: lambda entry: entry["Created"],
    Sort.SIZE: lambda entry: (entry["Size"] or {}).get("rootFsSize", 0),
    Sort.STATUS: lambda entry: entry["State"],
}


@app.command()
def ps(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also those that do not run")] = False,
    quiet: output.Quiet = False,
    no_trunc: output.NoTrunc = False,
    filters: Annotated[list[str] | None, typer.Option("--filter", "-f", help="NAME=VALUE, such as name=web")] = None,
    wanted: output.Format = "",
    last: Annotated[int, typer.Option("--last", "-n", help="That many of the newest, in any state")] = -1,
    latest: Annotated[bool, typer.Option("--latest", "-l", help="The newest only, in any state")] = False,
    size: Annotated[bool, typer.Option("--size", "-s", help="What they wrote, and their whole size")] = False,
    sort: Annotated[Sort, typer.Option(help="What to sort by")] = Sort.CREATED,
    noheading: output.NoHeading = False,
) -> None:
    """List containers that run, or all with --all.

    Filters: ancestor, before, exited, id, label, name, network, restart-policy, since, status, volume.
    """
    if latest and last >= 0:
        raise UsageError("last and latest are mutually exclusive")
    if quiet and size:
        raise UsageError("quiet conflicts with size")
    options = ListOptions(
        all=all_, last=1 if latest else max(last, 0), filters=tuple(filters or ()), size=size or sort is Sort.SIZE
    )
    with engine(ctx) as found:
        entries = sorted(found.listed(options), key=SORTS[sort])
    now = jsonio.now()
    if output.is_json(wanted):
        output.show_json([as_json(entry, now) for entry in entries])
    elif quiet and not wanted:
        for entry in entries:
            print(entry["Id"] if no_trunc else entry["Id"][:SHORT_ID_CHARS])
    else:
        columns = Columns((*COLUMNS, "Size") if size else COLUMNS, HEADINGS)
        output.show([row(entry, now, short=not no_trunc) for entry in entries], wanted, columns, heading=not noheading)


def as_json(entry: JsonObject, now: datetime) -> JsonObject:
    return {**entry, "CreatedAt": _ago(entry["Created"], now), "Status": status_text(entry, now)}


def row(entry: JsonObject, now: datetime, *, short: bool) -> JsonObject:
    """What a template may name: Podman's ``psReporter``."""
    command = " ".join(entry["Command"])
    if short and len(command) > COMMAND_CHARS:
        command = command[:COMMAND_CHARS] + "..."
    created = _ago(entry["Created"], now)
    return {
        **{name: value for name, value in entry.items() if name != "Id"},
        "ID": entry["Id"][:SHORT_ID_CHARS] if short else entry["Id"],
        "ImageID": entry["ImageID"][:SHORT_ID_CHARS] if short else entry["ImageID"],
        "Command": command,
        "CreatedAt": units.timestamp(datetime.fromtimestamp(entry["Created"], UTC)),
        "CreatedHuman": created,
        "RunningFor": created,
        "Label": lambda name: entry["Labels"].get(name, ""),
        "Names": entry["Names"][0],
        "Networks": ",".join(entry["Networks"]),
        "Ports": ports_text(entry["Ports"], entry["ExposedPorts"]),
        "Size": size_text(entry["Size"]),
        "Status": status_text(entry, now),
    }


def _ago(created: int, now: datetime) -> str:
    return units.ago(datetime.fromtimestamp(max(created, 0), UTC), now)


def status_text(entry: JsonObject, now: datetime) -> str:
    state = str(entry["State"])
    if state == "running":
        return f"Up {units.duration(now.timestamp() - entry['StartedAt'])}"
    if state in ("exited", "stopped"):
        return f"Exited ({entry['ExitCode']}) {_ago(entry['ExitedAt'], now)}"
    return state.capitalize()


def size_text(size: Mapping[str, int] | None) -> str:
    if size is None:
        return ""
    return f"{units.size(size['rwSize'])} (virtual {units.size(size['rootFsSize'])})"


def ports_text(mappings: Sequence[Mapping[str, Any]], exposed: Mapping[str, Sequence[str]]) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``: what is published, then what is only exposed, neighbours as a range."""
    parts, published = [], set[tuple[str, int]]()
    for mapping in mappings:
        host, inside, count = mapping["host_port"], mapping["container_port"], mapping["range"]
        protocol = str(mapping["protocol"])
        parts.append(f"{mapping['host_ip'] or '0.0.0.0'}:{_range(host, count)}->{_range(inside, count)}/{protocol}")
        published |= {(protocol, inside + index) for index in range(count)}
    lonely = sorted(
        {(protocol, int(port)) for port, protocols in exposed.items() for protocol in protocols} - published
    )
    runs: list[tuple[str, int, int]] = []
    for protocol, port in lonely:
        if runs and runs[-1][0] == protocol and sum(runs[-1][1:]) == port:
            runs[-1] = (protocol, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((protocol, port, 1))
    parts += [f"{_range(first, count)}/{protocol}" for protocol, first, count in runs]
    return ", ".join(parts)


def _range(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)
