"""events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

import typer

from pyodcr import jsonio
from pyodcr.cli import moments, output
from pyodcr.cli.session import engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import Event

app = new_app()

POLL_S = 0.2
FILTERS = ("container", "event", "image", "label", "name", "network", "type", "volume")


@app.command()
def events(
    ctx: typer.Context,
    filters: Annotated[list[str] | None, typer.Option("--filter", "-f", help="NAME=VALUE")] = None,
    since: Annotated[str, typer.Option(help="Not before: a time, or how long ago (10m)")] = "",
    until: Annotated[str, typer.Option(help="Not after: a time, or how long ago (10m)")] = "",
    stream: Annotated[bool, typer.Option(help="Wait for more")] = True,
    format_: output.Format = "",
) -> None:
    """Show what happens, as it happens; with --since or --no-stream also what has happened."""
    wanted = _test(filters or [])
    first, last = moments.parse(since), moments.parse(until)
    with engine(ctx) as found:
        seen = found.last_event()
        if since or until or not stream:
            past = [
                event for number, event in found.events(since=first.timestamp() if first else 0.0) if number <= seen
            ]
            _show([event for event in past if wanted(event) and (last is None or event.time <= last)], format_)
        if stream:
            _follow(found, seen, wanted, last, format_)


def _follow(found: Engine, seen: int, wanted: Callable[[Event], bool], last: datetime | None, format_: str) -> None:
    while last is None or jsonio.now() < last:
        for number, event in found.follow_events(seen):
            seen = number
            if wanted(event):
                _show([event], format_)
        time.sleep(POLL_S)


def _test(filters: Sequence[str]) -> Callable[[Event], bool]:
    """Values of one filter are alternatives, different filters must all fit, as with Podman."""
    chosen: dict[str, list[str]] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or name not in FILTERS:
            raise UsageError(f'invalid filter "{text}"', hint=f"NAME=VALUE; names: {', '.join(FILTERS)}")
        chosen.setdefault(name, []).append(value)
    return lambda event: all(any(_fits(event, name, value) for value in values) for name, values in chosen.items())


def _fits(event: Event, name: str, value: str) -> bool:
    if name == "event":
        return event.status == value
    if name == "type":
        return event.type == value
    if name == "image":
        return value in (event.image, event.id if event.type == "image" else event.image)
    if name == "label":
        key, equals, content = value.partition("=")
        return key in event.attributes and (not equals or event.attributes[key] == content)
    about = event.name == value or (bool(value) and event.id.startswith(value))
    return about if name == "name" else about and event.type == name


def _show(found: Sequence[Event], format_: str) -> None:
    if output.is_json(format_):
        for event in found:
            print(jsonio.dumps(_fields(event)), flush=True)
    elif format_:
        from pyodcr.cli.template import Template

        output.show_each(Template(format_), [_fields(event) for event in found])
    else:
        for event in found:
            print(_line(event), flush=True)


def _fields(event: Event) -> JsonObject:
    """Podman's keys."""
    found = {
        "Name": event.name,
        "Status": event.status,
        "Time": event.time.astimezone().isoformat(),
        "Type": event.type,
        "Attributes": dict(event.attributes),
    }
    extra = {"ID": event.id, "Image": event.image, "ContainerExitCode": event.exit_code}
    return found | {name: value for name, value in extra.items() if value not in ("", None)}


def _line(event: Event) -> str:
    stamp = event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f %z %Z")
    facts = {"image": event.image, "name": event.name, **event.attributes}
    if event.exit_code is not None:
        facts["exitCode"] = str(event.exit_code)
    told = ", ".join(f"{name}={value}" for name, value in facts.items() if value)
    return f"{stamp} {event.type} {event.status} {event.id or event.name} ({told})"
