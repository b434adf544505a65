"""JSON in and out of frozen dataclasses, with foreign keys kept.

Every JSON document we read belongs to somebody else too (Podman's ``config.dump``, netavark's
networks, conmon's answers), so a dataclass says which keys it understands and an ``extra`` field,
if it has one, carries the rest back out unchanged. Rules, as Go's encoding/json has them:

- a key's name is ``key("jsonName")``; without it, the attribute's own name;
- a value equal to the field's default is left out ("omitempty") unless ``keep=True``;
- ``null`` reads as the field's default; Go's zero time reads as ``None``.

A value of the wrong type raises :class:`JsonInvalid`, naming the path (``.networks["a"].static_ips[0]``).
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")
JsonObject = dict[str, Any]


class Table(dict[str, Any]):
    """A JSON object whose keys are data (labels, networks, ports) and not the names of fields."""


GO_ZERO_TIME = "0001-01-01T00:00:00Z"


class JsonInvalid(ValueError):
    """A JSON value is not what the format says; callers map it to an error of their own domain."""


def key(
    name: str, default: Any = dataclasses.MISSING, *, factory: Any = dataclasses.MISSING, keep: bool = False
) -> Any:
    """A dataclass field whose JSON name is ``name``."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"json": name, "keep": keep})


def loads(text: str | bytes, where: str = "") -> JsonObject:
    """Parse a document that must be a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: hostile nesting
        raise JsonInvalid(f"{where or 'document'} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise JsonInvalid(f"{where or 'document'} is not a JSON object")
    return value


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Text that can always be encoded: a file name that is not UTF-8 (a lone surrogate in Python) is escaped."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, indent=indent, ensure_ascii=False, separators=separators)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, separators=separators)
    return text


def parse_time(text: str) -> datetime | None:
    """RFC 3339 as Go writes it (nanoseconds are cut to microseconds); Go's zero time is ``None``."""
    if not text or text.startswith("0001-01-01T00:00:00"):
        return None
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
    return datetime.fromisoformat(text)


def format_time(value: datetime | None) -> str:
    if value is None:
        return GO_ZERO_TIME
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    json_name: str
    hint: Any
    keep: bool
    default: Any  # the default value itself, factories already called once


_known_fields: dict[type, tuple[_Field, ...]] = {}


def _fields(cls: type) -> tuple[_Field, ...]:
    found = _known_fields.get(cls)
    if found is None:
        found = _known_fields[cls] = _inspect(cls)
    return found


def _inspect(cls: Any) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(
            _Field(
                field.name,
                field.metadata.get("json", field.name),
                hints[field.name],
                field.metadata.get("keep", False),
                default,
            )
        )
    return tuple(found)


def decode(cls: type[T], value: Any, where: str = "") -> T:
    """Build ``cls``, a dataclass, from a JSON object."""
    if not isinstance(value, dict):
        raise JsonInvalid(f"{where or cls.__name__} is not an object")
    values: dict[str, Any] = {}
    known = set()
    for field in _fields(cls):
        if field.name == "extra":
            continue
        known.add(field.json_name)
        raw = value.get(field.json_name)
        if raw is not None:
            values[field.name] = _decode(field.hint, raw, f"{where}.{field.json_name}")
        elif field.default is dataclasses.MISSING:
            raise JsonInvalid(f"{where or cls.__name__} lacks {field.json_name}")
    if any(field.name == "extra" for field in _fields(cls)):
        values["extra"] = {name: item for name, item in value.items() if name not in known}
    return cls(**values)


def _decode(hint: Any, value: Any, where: str) -> Any:
    if hint is Any or hint is object:
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        present = [arg for arg in args if arg is not type(None)]
        return _decode(present[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise JsonInvalid(f"{where} is not a list")
        return tuple(_decode(args[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise JsonInvalid(f"{where} is not an object")
        return {name: _decode(args[1], item, f'{where}["{name}"]') for name, item in value.items()}
    return _decode_plain(hint, value, where)


def _decode_plain(hint: type, value: Any, where: str) -> Any:
    try:
        if dataclasses.is_dataclass(hint):
            return decode(hint, value, where)
        if issubclass(hint, IntEnum):
            return hint(int(value))
        if issubclass(hint, StrEnum):
            return hint(value)
        if hint is datetime:
            return parse_time(value)
        if hint is Path:
            return Path(value)
    except JsonInvalid:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise JsonInvalid(f"{where} has the value {value!r}, which is no {hint.__name__}") from error
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is an int in Python, not in JSON
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise JsonInvalid(f"{where} is not a {hint.__name__}")
    return value


def encode(value: Any, *, whole: bool = False) -> Any:
    """The JSON value of a dataclass, and of anything it may hold; ``whole``: also of fields equal to their defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_dataclass(value, whole=whole)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return Table({name: encode(item, whole=whole) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return [encode(item, whole=whole) for item in value]
    return value


def _encode_dataclass(value: Any, *, whole: bool) -> JsonObject:
    out: JsonObject = {}
    for field in _fields(type(value)):
        item = getattr(value, field.name)
        if field.name == "extra":
            out.update(cast(Mapping[str, Any], item))
        elif whole or field.keep or item != field.default:
            out[field.json_name] = encode(item, whole=whole)
    return out
