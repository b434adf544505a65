"""Protocol buffers' wire format, as much of it as CRIU's small images need.

A message is a frozen dataclass whose fields carry their number: ``pages_written: int = number(7)``. Values are
unsigned integers, bools, strings and messages; a nested message is ``None`` where it is absent. Unknown fields are
skipped. Encoding writes every field, zeros too: CRIU's ``required`` fields demand it, its ``optional`` ones allow it.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class WireError(ValueError):
    """The bytes are no such message."""


def number(field_number: int, *, default: Any = 0) -> Any:
    """A dataclass field of that number in the message."""
    return dataclasses.field(default=default, metadata={"number": field_number})


def encode(message: Any) -> bytes:
    out = bytearray()
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if value is None:
            continue
        key = field.metadata["number"] << 3
        if isinstance(value, int):
            out += _varint(key | VARINT) + _varint(value)
        else:
            content = value.encode() if isinstance(value, str) else encode(value)
            out += _varint(key | BYTES) + _varint(len(content)) + content
    return bytes(out)


def decode(cls: type[T], data: bytes) -> T:
    """Raises :class:`WireError`."""
    hints = typing.get_type_hints(cls)
    known = {field.metadata["number"]: field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for field_number, raw in _fields(data):
        name = known.get(field_number)
        if name is not None:
            values[name] = _value(hints[name], raw, f"{cls.__name__}.{name}")
    return cls(**values)


def _value(hint: Any, raw: int | bytes, where: str) -> Any:
    kind = next((arg for arg in typing.get_args(hint) if arg is not type(None)), hint)
    if kind in (int, bool) and isinstance(raw, int):
        return kind(raw)
    if kind is str and isinstance(raw, bytes):
        return raw.decode(errors="replace")
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(raw, bytes):
        return decode(kind, raw)
    raise WireError(f"{where} is of the wrong wire type")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _read_varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise WireError(f"wire type {kind} is not used by CRIU")
        content = data[at : at + size]
        if len(content) < size:
            raise WireError("the message is cut short")
        at += size
        yield key >> 3, content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise WireError("the message is cut short")
