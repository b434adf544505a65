"""What the commands of images, volumes and networks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import typer

from pyodcr.cli import output
from pyodcr.cli.failures import exit_status, for_each
from pyodcr.errors import NotFound, PyodcrError, UsageError
from pyodcr.jsonio import JsonObject

IN_USE = "-in-use"  # the end of the codes image-in-use, network-in-use, volume-in-use

Filters = Annotated[
    list[str] | None, typer.Option("--filter", "-f", metavar="NAME=VALUE", help="Which ones, such as label=a=b")
]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="With the containers using it; what is not there is no error")
]
NoHeading = Annotated[bool, typer.Option("--noheading", "-n", help="Leave the heading out")]
Options = Annotated[list[str] | None, typer.Option("--opt", "-o", metavar="NAME=VALUE", help="Option of the driver")]
Timeout = Annotated[int | None, typer.Option("--time", "-t", min=0, help="With --force: seconds until SIGKILL")]


def pairs(words: Iterable[str] | None, option: str) -> Mapping[str, str]:
    """What ``KEY=VALUE`` options say; a key alone has the empty value."""
    found = {}
    for word in words or ():
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f'invalid {option} "{word}": it has no key', hint="KEY=VALUE")
        found[name] = value
    return found


def inspect_each(refs: Iterable[str], find: Callable[[str, bool], JsonObject], wanted: str) -> None:
    """Show what is found, also when something else is not.

    ``find`` gets a name, and whether the object must have its empty fields too: a template may name them.
    """
    whole = not (wanted == "" or output.is_json(wanted))
    values: list[JsonObject] = []
    try:
        for_each(refs, lambda ref: values.append(find(ref, whole)))
    finally:
        output.show_inspected(values, wanted)


def removal_status(error: PyodcrError) -> int:
    """Podman's: 1 for what is not there, 2 for what is in use."""
    if isinstance(error, NotFound):
        return 1
    return 2 if error.code.endswith(IN_USE) else exit_status(error)
