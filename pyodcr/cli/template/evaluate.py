"""Carrying a template out over JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pyodcr.cli.template.functions import FUNCTIONS, NO_VALUE, kind_of, shown
from pyodcr.cli.template.nodes import Call, Chain, Field, If, Literal, Node, Operand, Pipe, Range, Text, Variable, With
from pyodcr.cli.template.tokens import invalid
from pyodcr.jsonio import Table

_NOT_PIPED: Any = object()


class Evaluation:
    """One pass over ``data``: the dot, and the variables of the blocks around, innermost last."""

    def __init__(self, data: Any) -> None:
        self._root = data
        self._scopes: list[dict[str, Any]] = [{}]

    def run(self, nodes: Iterable[Node]) -> str:
        return "".join(self._nodes(nodes, self._root))

    def _nodes(self, nodes: Iterable[Node], dot: Any) -> Iterable[str]:
        for node in nodes:
            match node:
                case Text(text):
                    yield text
                case Pipe():
                    value = self._pipe(node, dot)
                    if not node.names:
                        yield shown(value)
                case If(pipe, body, otherwise):
                    yield from self._block(body if self._pipe(pipe, dot, scope=True) else otherwise, dot)
                case With(pipe, body, otherwise):
                    value = self._pipe(pipe, dot, scope=True)
                    yield from self._block(body, value) if value else self._block(otherwise, dot)
                case Range():
                    yield from self._range(node, dot)

    def _block(self, body: Sequence[Node], dot: Any) -> Iterable[str]:
        """The body of a block whose scope was opened with its pipe."""
        try:
            yield from self._nodes(body, dot)
        finally:
            self._scopes.pop()

    def _range(self, node: Range, dot: Any) -> Iterable[str]:
        pipe = node.pipe
        items = _items(self._commands(pipe, dot), pipe.position)
        self._scopes.append({})
        if not items:
            yield from self._block(node.otherwise, dot)
            return
        try:
            for key, item in items:
                # one variable is the element, two are the key and the element
                values = (item,) if len(pipe.names) == 1 else (key, item)
                self._scopes.append(dict(zip(pipe.names, values, strict=False)))
                yield from self._block(node.body, item)
        finally:
            self._scopes.pop()

    def _pipe(self, pipe: Pipe, dot: Any, *, scope: bool = False) -> Any:
        if scope:
            self._scopes.append({})
        value = self._commands(pipe, dot)
        for name in pipe.names:
            holder = self._scopes[-1] if pipe.declares else self._scope_of(name, pipe.position)
            holder[name] = value
        return value

    def _commands(self, pipe: Pipe, dot: Any) -> Any:
        value = _NOT_PIPED
        for command in pipe.commands:
            value = self._call(command, dot, value) if isinstance(command, Call) else self._operand(command, dot)
        return value

    def _operand(self, operand: Operand | Call, dot: Any) -> Any:
        match operand:
            case Literal(value):
                return value
            case Field(path, position):
                return _follow(dot, path, position)
            case Variable(name, path, position):
                value = self._root if not name else self._scope_of(name, position)[name]
                return _follow(value, path, position)
            case Chain(inner, path, position):
                return _follow(self._pipe(inner, dot), path, position)
            case Pipe():
                return self._pipe(operand, dot)
            case Call():
                return self._call(operand, dot, _NOT_PIPED)

    def _scope_of(self, name: str, position: int) -> dict[str, Any]:
        holders = [scope for scope in self._scopes if name in scope]
        if not holders:
            raise invalid(f"there is no variable ${name}", position)
        return holders[-1]

    def _call(self, call: Call, dot: Any, piped: Any) -> Any:
        if call.function in ("and", "or"):
            return self._shortest(call, dot, piped)
        arguments = [self._operand(argument, dot) for argument in call.arguments]
        if piped is not _NOT_PIPED:
            arguments.append(piped)
        if isinstance(call.function, str):
            return _called(call.function, FUNCTIONS[call.function], arguments, call.position)
        method = self._operand(call.function, dot)
        if not callable(method):
            raise invalid(f"{kind_of(method)} takes no arguments", call.position)
        return _called("it", method, arguments, call.position)

    def _shortest(self, call: Call, dot: Any, piped: Any) -> Any:
        """``and`` gives the first empty argument, ``or`` the first that is not, each else the last."""
        value = piped
        for argument in call.arguments:
            value = self._operand(argument, dot)
            if bool(value) is (call.function == "or"):
                return value
        if value is _NOT_PIPED:
            raise invalid(f"{call.function} needs an argument", call.position)
        return value if piped is _NOT_PIPED else piped


def _called(name: str, function: Callable[..., Any], arguments: Sequence[Any], position: int) -> Any:
    try:
        return function(*arguments)
    except TypeError as error:
        raise invalid(f"{name} cannot take {len(arguments)} such arguments", position) from error
    except ValueError as error:
        raise invalid(f"{name}: {error}", position) from error


def _items(value: Any, position: int) -> list[tuple[Any, Any]]:
    """What a range goes over, with keys: the elements of a list, the values of a map by sorted key."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if value is None or value is NO_VALUE:
        return []
    raise invalid(f"cannot range over {kind_of(value)}", position)


def _follow(value: Any, path: Sequence[str], position: int) -> Any:
    for name in path:
        value = _field(value, name, position)
        position += len(name) + 1
    return value


def _field(value: Any, name: str, position: int) -> Any:
    if value is None or value is NO_VALUE:
        return NO_VALUE
    if not isinstance(value, Mapping):
        raise invalid(f"{kind_of(value)} has no field .{name}", position)
    if name in value:
        return value[name]
    if isinstance(value, Table):
        return NO_VALUE
    found = [item for key, item in value.items() if _folded(key) == _folded(name)]
    if len(found) == 1:
        return found[0]
    raise invalid(f"there is no field .{name}", position, hint=f"there is {_alike(name, value)}")


def _folded(name: str) -> str:
    """``.NetworkInterface`` is a struct's field, ``network_interface`` its JSON key; both are meant."""
    return name.replace("_", "").casefold()


def _alike(name: str, fields: Iterable[str]) -> str:
    """The fields that look like it, or all of them where none does."""
    from difflib import get_close_matches

    known = {_folded(field): field for field in fields}
    close = [known[match] for match in get_close_matches(_folded(name), list(known))]
    return ", ".join(f".{field}" for field in close or sorted(known.values()))
