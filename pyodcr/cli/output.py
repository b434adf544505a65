"""What commands print: aligned tables, JSON, or the user's own template.

``--format`` is empty (a table of the command's own), ``json`` (or ``{{json .}}``), a Go template
(:mod:`pyodcr.cli.template`), or one behind the word ``table``, which aligns it and puts a heading above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyodcr import jsonio

if TYPE_CHECKING:
    from pyodcr.cli.template import Template

# text/tabwriter as Podman sets it up
CELL_CHARS = 12
PADDING_CHARS = 2

Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="json, or a Go template: {{.ID}}")]
InspectFormat = Annotated[
    str, typer.Option("--format", "-f", metavar="FORMAT", help="json, or a Go template: {{.Name}}")
]
NoHeading = Annotated[bool, typer.Option("--noheading", help="Leave the heading out")]
NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Do not shorten anything")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print names or IDs only")]


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields a list shows unless told otherwise, and the headings that are not simply a field's name."""

    fields: Sequence[str]
    headings: Mapping[str, str] = field(default_factory=dict)

    def heading(self, name: str) -> str:
        return self.headings.get(name, name.upper())


def is_json(wanted: str) -> bool:
    return wanted.replace(" ", "") in ("json", "{{json}}", "{{json.}}")


def show_json(value: object, *, indent: int = 2) -> None:
    print(jsonio.dumps(value, indent=indent))


def show(rows: Sequence[Mapping[str, Any]], wanted: str, columns: Columns, *, heading: bool = True) -> None:
    """A list as a table or through a template; ``rows`` have all the fields a template may name."""
    if wanted in ("", "table"):
        lines = [[str(row[name]) for name in columns.fields] for row in rows]
        show_table([columns.heading(name) for name in columns.fields] if heading else None, lines)
        return
    from pyodcr.cli.template import Template

    template = Template(wanted)
    if template.is_table:
        cells = [template.render(row).split("\t") for row in rows]
        show_table(template.heading(columns.headings).split("\t") if heading else None, cells)
    else:
        show_each(template, rows)


def show_each(template: Template, values: Sequence[Any]) -> None:
    """A template for each value, a line each."""
    end = "" if template.ends_line else "\n"
    if template.takes_all:
        print(template.render(values), end=end)
        return
    for value in values:
        print(template.render(value), end=end)


def show_inspected(values: Sequence[Any], wanted: str) -> None:
    """What `inspect` found: a JSON list, or a template for each."""
    if not wanted or is_json(wanted):
        show_json(values, indent=5)
        return
    from pyodcr.cli.template import Template

    show_each(Template(wanted), values)


def show_table(heading: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> None:
    for line in aligned([*([heading] if heading is not None else []), *rows]):
        print(line)


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Cells padded to the width of their column; the last of a row is not."""
    count = max((len(row) for row in rows), default=0)
    widths = [
        max(CELL_CHARS, PADDING_CHARS + max(len(row[index]) for row in rows if index < len(row)))
        for index in range(count)
    ]
    for row in rows:
        yield "".join(
            cell if index == len(row) - 1 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
