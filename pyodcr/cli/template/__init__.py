"""Go templates, as far as Podman's users type them after ``--format``.

    {{.ID}}  {{.State.Status}}  {{index .Config.Labels "a"}}  {{json .Mounts}}  {{len .Mounts}}
    {{range $port, $hosts := .NetworkSettings.Ports}}{{$port}} {{end}}  {{with .Pod}}...{{end}}
    {{if and .Up (eq .State "running")}}...{{else if ...}}...{{else}}...{{end}}  {{.Names | upper | printf "%-20s"}}

Grammar, trim markers and printed forms are those of Go's text/template, the functions those of containers/common's
``report`` package. Data are JSON values: a plain object is a struct, whose fields must exist (written as Podman's
fields or as its JSON keys), a :class:`~pyodcr.jsonio.Table` is a map, whose missing keys are ``<no value>``.

Errors are :class:`~pyodcr.errors.UsageError`, ``invalid-template``, with the place: characters of the format, from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyodcr.cli.template.evaluate import Evaluation
from pyodcr.cli.template.headings import heading_of
from pyodcr.cli.template.nodes import Field, Pipe, Range, Text
from pyodcr.cli.template.parse import parse

TABLE = "table "


class Template:
    """A parsed format. ``table`` in front of it makes columns: its spaces are tabs, and it has a heading."""

    def __init__(self, text: str) -> None:
        self.is_table = text.startswith(TABLE)
        self._nodes = parse(text, begin=len(TABLE) if self.is_table else 0, spaces="\t" if self.is_table else " ")

    @property
    def takes_all(self) -> bool:
        """Whether it ranges over all rows itself: ``{{range .}}...{{end}}``."""
        return any(isinstance(node, Range) and _is_dot(node.pipe) for node in self._nodes)

    @property
    def ends_line(self) -> bool:
        last = self._nodes[-1] if self._nodes else None
        return isinstance(last, Text) and last.text.endswith("\n")

    def render(self, data: Any) -> str:
        return Evaluation(data).run(self._nodes)

    def heading(self, names: Mapping[str, str]) -> str:
        """The same line with the names of its fields; ``names`` are those that are not simply the field's."""
        return heading_of(self._nodes, names)


def _is_dot(pipe: Pipe) -> bool:
    match pipe.commands:
        case (Field(path=()),):
            return True
    return False
