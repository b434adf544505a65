"""Shapes of foreign JSON: a reader for each, that keeps what fits and tells what it left out.

A key that a :func:`record` does not name is left out; a value of the wrong type is nobody's honest mistake
and raises :class:`ArchiveInvalid` with its path (``process.args[0]``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pyodcr.errors import ArchiveInvalid
from pyodcr.jsonio import JsonObject

Shape: TypeAlias = Callable[[Any, str, list[str]], Any]
"""(value, its path, lines of what was left out) -> the value as far as it is allowed."""

MAX_INTEGER = 2**64 - 1


def text(value: Any, where: str, _dropped: list[str]) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _invalid(where, "text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can say and no file can hold
        raise _invalid(where, "text") from error
    return value


def integer(value: Any, where: str, _dropped: list[str]) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value <= MAX_INTEGER:
        raise _invalid(where, "a whole number")
    return value


def flag(value: Any, where: str, _dropped: list[str]) -> bool:
    if not isinstance(value, bool):
        raise _invalid(where, "true or false")
    return value


def many(shape: Shape) -> Shape:
    def read(value: Any, where: str, dropped: list[str]) -> list[Any]:
        if not isinstance(value, list):
            raise _invalid(where, "a list")
        return [shape(item, f"{where}[{index}]", dropped) for index, item in enumerate(value)]

    return read


def table(shape: Shape) -> Shape:
    """An object whose keys are data."""

    def read(value: Any, where: str, dropped: list[str]) -> JsonObject:
        items = _object(value, where)
        return {text(key, where, dropped): shape(item, f"{where}[{key}]", dropped) for key, item in items.items()}

    return read


def record(**shapes: Shape) -> Shape:
    """An object of these keys and no others; ``null`` is as good as absent, as Go has it."""

    def read(value: Any, where: str, dropped: list[str]) -> JsonObject:
        items = _object(value, where)
        prefix = f"{where}." if where else ""
        dropped += [f"{prefix}{key}" for key in items if key not in shapes]
        return {
            key: shape(items[key], f"{prefix}{key}", dropped)
            for key, shape in shapes.items()
            if items.get(key) is not None
        }

    return read


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, "an object")
    return value


def _invalid(where: str, kind: str) -> ArchiveInvalid:
    return ArchiveInvalid(f"spec.dump: {where or 'the document'} is not {kind}", where=where)
