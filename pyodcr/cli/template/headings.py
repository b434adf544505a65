"""The heading of a table: the template's own line, with the name of a field where its value would stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pyodcr.cli.template.nodes import Call, Chain, Field, If, Node, Operand, Pipe, Range, Text, Variable, With

# CreatedAt -> CREATED AT, ImageID -> IMAGE ID
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


def heading_of(nodes: Iterable[Node], names: Mapping[str, str]) -> str:
    return "".join(_parts(nodes, names))


def _parts(nodes: Iterable[Node], names: Mapping[str, str]) -> Iterable[str]:
    for node in nodes:
        match node:
            case Text(text):
                yield text
            case Pipe():
                yield _name(node, names) if not node.names else ""
            case If(_, body, _) | With(_, body, _) | Range(_, body, _):
                yield from _parts(body, names)


def _name(pipe: Pipe, names: Mapping[str, str]) -> str:
    fields = [name for command in pipe.commands for name in _fields(command)]
    if not fields:
        return ""
    return names.get(fields[0]) or " ".join(_WORDS.findall(fields[0])).upper()


def _fields(operand: Operand | Call) -> Iterable[str]:
    """The last names of all field paths in it."""
    match operand:
        case Field(path, _) | Variable(_, path, _):
            yield from path[-1:]
        case Chain(inner, path, _):
            yield from path[-1:] or _fields(inner)
        case Pipe():
            for command in operand.commands:
                yield from _fields(command)
        case Call():
            if not isinstance(operand.function, str):
                yield from _fields(operand.function)
            for argument in operand.arguments:
                yield from _fields(argument)
