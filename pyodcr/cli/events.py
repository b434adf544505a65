"""events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import typer

from pyodcr import jsonio
from pyodcr.cli import output, units
from pyodcr.cli.session import engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.models import Event

app = new_app()

POLL_S = 0.2
SHORT_ID_CHARS = 12

Test = Callable[[Event], bool]


@app.command()
def events(
    ctx: typer.Context,
    filters: Annotated[list[str] | None, typer.Option("--filter", "-f", help="NAME=VALUE, such as event=died")] = None,
    since: Annotated[str, typer.Option(help="A time, or how long ago: 10m")] = "",
    until: Annotated[str, typer.Option(help="A time, or how long from now: 10m")] = "",
    stream: Annotated[bool, typer.Option(help="Wait for what is to come")] = True,
    no_trunc: Annotated[bool, typer.Option("--no-trunc/--trunc", help="Show whole IDs")] = True,
    wanted: output.Format = "",
) -> None:
    """Show what happens, as it happens; with --since, --until or --no-stream also what has happened.

    Filters: container, event, image, label, network, type, volume.
    """
    fits = _test(filters or ())
    first = units.moment(since, "--since") if since else None
    last = units.moment(until, "--until", ahead=True) if until else None
    show = _printer(wanted, short=not no_trunc)
    with engine(ctx) as found:
        for event in _events(found, first, last, past=bool(since or until) or not stream, stream=stream):
            if fits(event):
                show(event)
                sys.stdout.flush()  # somebody may be waiting for it


def _events(
    found: Engine, first: datetime | None, last: datetime | None, *, past: bool, stream: bool
) -> Iterable[Event]:
    """Those recorded and, with ``stream``, those to come, up to ``last``."""
    seen = found.last_event()
    batch = found.events(since=first.timestamp() if first else 0.0) if past else []
    while True:
        for number, event in batch:
            seen = max(seen, number)
            if last is None or event.time <= last:
                yield event
        if not stream or (last is not None and jsonio.now() > last):
            return
        time.sleep(POLL_S)
        batch = found.follow_events(seen)


def _test(words: Sequence[str]) -> Test:
    """Values of one filter are alternatives, different filters must all fit, as with Podman."""
    from pyodcr.lifecycle.ops.listing import parse_filters

    wanted = parse_filters(words)
    for name in wanted:
        if name not in FILTERS:
            raise UsageError(f"{name} is an invalid filter", hint=f"filters: {', '.join(sorted(FILTERS))}")
    return lambda event: all(any(FILTERS[name](event, value) for value in values) for name, values in wanted.items())


def _is_about(kind: str) -> Callable[[Event, str], bool]:
    return lambda event, value: event.type == kind and (event.name == value or event.id.startswith(value))


def _has_label(event: Event, value: str) -> bool:
    key, equals, content = value.partition("=")
    return key in event.attributes and (not equals or event.attributes[key] == content)


def _is_status(event: Event, value: str) -> bool:
    return event.status == ("died" if value == "die" else value)  # Docker's word


FILTERS: Mapping[str, Callable[[Event, str], bool]] = {
    "container": _is_about("container"),
    "event": _is_status,
    "image": _is_about("image"),
    "label": _has_label,
    "network": _is_about("network"),
    "status": _is_status,
    "type": lambda event, value: event.type == value,
    "volume": _is_about("volume"),
}


def _printer(wanted: str, *, short: bool) -> Callable[[Event], None]:
    if output.is_json(wanted):
        return lambda event: print(jsonio.dumps(fields(event)))
    if wanted:
        from pyodcr.cli.template import Template

        template = Template(wanted)
        return lambda event: output.show_each(template, [fields(event)])
    return lambda event: print(line(event, short=short))


def fields(event: Event) -> JsonObject:
    """Podman's keys, all of them."""
    return {
        "ContainerExitCode": event.exit_code,
        "ID": event.id,
        "Image": event.image,
        "Name": event.name,
        "Status": event.status,
        "time": int(event.time.timestamp()),
        "timeNano": int(event.time.timestamp() * 1_000_000) * 1000,
        "Type": event.type,
        "Attributes": Table(event.attributes),
    }


def line(event: Event, *, short: bool) -> str:
    words = [units.timestamp(event.time), event.type, event.status]
    words += [event.id[:SHORT_ID_CHARS] if short else event.id] if event.id else []
    if event.type != "container":
        return " ".join([*words, event.name]).rstrip()
    facts = {"image": event.image, "name": event.name, **event.attributes}
    if event.exit_code is not None:
        facts["exitCode"] = str(event.exit_code)
    return f"{' '.join(words)} ({', '.join(f'{name}={value}' for name, value in facts.items())})"
