"""What a template is made of. ``position`` counts characters of the whole format from 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Field:
    """``.A.B``; without a path the dot itself."""

    path: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """``$x.A``; ``$`` alone, with an empty name, is what the template was given."""

    name: str
    path: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Chain:
    """``(...).A.B``."""

    inner: Pipe
    path: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, or a field that is one: ``.Label "a"``."""

    function: str | Field | Variable | Chain
    arguments: tuple[Operand, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Pipe:
    """``a | b | c``: each value is the last argument of the next. ``names`` are variables that get the result."""

    commands: tuple[Operand | Call, ...]
    names: tuple[str, ...]
    declares: bool
    position: int


@dataclass(frozen=True, slots=True)
class If:
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class With:
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Range:
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Operand: TypeAlias = Literal | Field | Variable | Chain | Pipe
Node: TypeAlias = Text | Pipe | If | With | Range
