"""The functions a template may call, and how values look when they are printed.

Go's own (text/template, "Functions") and Podman's (containers/common ``report``). Each takes JSON values and raises
ValueError, whose text is fit for the user, or TypeError where it is called with too many or few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pyodcr import jsonio
from pyodcr.jsonio import Table


class _NoValue:
    """What a map has under a key that it does not have."""

    def __bool__(self) -> bool:
        return False


NO_VALUE = _NoValue()


def shown(value: Any) -> str:
    """As Go's fmt prints it with %v."""
    match value:
        case str():
            return value
        case _NoValue():
            return "<no value>"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case Table():
            return "map[" + " ".join(f"{name}:{shown(value[name])}" for name in sorted(value)) + "]"
        case Mapping():
            return "{" + " ".join(shown(item) for item in value.values()) + "}"
        case list() | tuple():
            return "[" + " ".join(shown(item) for item in value) + "]"
        case float():
            return f"{value:g}"
    return str(value)


def kind_of(value: Any) -> str:
    """A word for a value's type, for error messages."""
    names: list[tuple[type | tuple[type, ...], str]] = [
        (str, "a string"),
        (bool, "a boolean"),
        ((int, float), "a number"),
        (Mapping, "an object"),
        ((list, tuple), "a list"),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


def _json(value: Any) -> str:
    plain = None if value is NO_VALUE else _without_callables(value)
    return jsonio.dumps(plain)


def _without_callables(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_callables(item) for name, item in value.items() if not callable(item)}
    return [_without_callables(item) for item in value] if isinstance(value, list | tuple) else value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None or value is NO_VALUE:
            return NO_VALUE
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, list | tuple | str) and isinstance(key, int) and not isinstance(key, bool):
            if not 0 <= key < len(value):
                raise ValueError(f"{key} is out of range: it has {len(value)}")
            value = value[key]
        else:
            raise ValueError(f"{shown(key)} cannot index {kind_of(value)}")
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    if not isinstance(value, str | list | tuple):
        raise ValueError(f"cannot slice {kind_of(value)}")
    end = len(value) if end is None else end
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"{start}:{end} is out of range: it has {len(value)}")
    return value[start:end]


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    if value is None or value is NO_VALUE:
        return 0
    raise ValueError(f"{kind_of(value)} has no length")


def _join(value: Any, separator: str) -> str:
    if isinstance(value, str):  # Podman's names are a list in one place and a string in another
        return value
    if value is None or value is NO_VALUE:
        return ""
    if not isinstance(value, list | tuple):
        raise ValueError(f"cannot join {kind_of(value)}")
    return separator.join(shown(item) for item in value)


def _text(change: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: change(shown(value))


def _title(text: str) -> str:
    return re.sub(r"\b\w", lambda found: found[0].upper(), text)


def _equal(left: Any, right: Any) -> bool:
    absent = (None, NO_VALUE)
    if left in absent or right in absent:
        return left in absent and right in absent
    if kind_of(left) != kind_of(right):
        raise ValueError(f"cannot compare {kind_of(left)} with {kind_of(right)}")
    return bool(left == right)


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if kind_of(left) != kind_of(right) or kind_of(left) not in ("a string", "a number"):
            raise ValueError(f"cannot compare {kind_of(left)} with {kind_of(right)}")
        return test(left, right)

    return compare


_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


def _printf(form: Any, *values: Any) -> str:
    left = list(values)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not left:
            raise ValueError(f"{found[0]} has no value")
        return _formatted(left.pop(0), flags, width, precision, verb)

    text = _VERB.sub(one, shown(form))
    if left:
        raise ValueError(f"{len(left)} values are left over")
    return text


def _formatted(value: Any, flags: str, width: str, precision: str | None, verb: str) -> str:
    numbers = flags.replace("#", "") + width + ("" if precision is None else f".{precision}")
    if verb in "dxXob" and isinstance(value, int) and not isinstance(value, bool):
        return f"%{flags}{width}{verb}" % value if verb != "b" else f"{value:b}"
    if verb in "feEgG" and isinstance(value, int | float):
        return f"%{numbers}{verb}" % value
    texts = {"s": shown, "v": shown, "q": lambda item: jsonio.dumps(shown(item)), "t": shown}
    if verb not in texts or (verb == "t" and not isinstance(value, bool)):
        raise ValueError(f"%{verb} cannot show {kind_of(value)}")
    text = texts[verb](value)
    text = text if precision is None or verb != "s" else text[: int(precision)]
    return text.ljust(int(width)) if width and "-" in flags else text.rjust(int(width or 0))


def _print(*values: Any) -> str:
    """Spaces stand between two of which neither is a string, as fmt.Sprint has it."""
    text, before = "", True
    for value in values:
        is_text = isinstance(value, str)
        text += ("" if before or is_text else " ") + shown(value)
        before = is_text
    return text


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "not": lambda value: not value,
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "printf": _printf,
    "eq": _eq,
    "ne": lambda left, right: not _equal(left, right),
    "lt": _ordered(lambda left, right: left < right),
    "le": _ordered(lambda left, right: left <= right),
    "gt": _ordered(lambda left, right: left > right),
    "ge": _ordered(lambda left, right: left >= right),
    "json": _json,
    "join": _join,
    "split": lambda text, separator: shown(text).split(separator),
    "lower": _text(str.lower),
    "upper": _text(str.upper),
    "title": _text(_title),
    "truncate": lambda text, length: shown(text)[:length],
    "pad": lambda text, before, after: " " * before + shown(text) + " " * after if text else "",
}
LAZY = ("and", "or")  # evaluate no more than they must
