"""The text of a format cut into pieces: plain text, and the words of its ``{{actions}}``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from pyodcr.errors import UsageError


class Kind(Enum):
    FIELD = auto()  # .A
    DOT = auto()
    VARIABLE = auto()  # $a
    WORD = auto()
    LITERAL = auto()
    SIGN = auto()  # ( ) | , := =
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    position: int
    is_spaced: bool  # white space stands before it
    value: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Plain ``text``, or an action: its ``tokens``, ending in END."""

    text: str = ""
    tokens: tuple[Token, ...] = field(default=())
    position: int = 0


def invalid(what: str, position: int, *, hint: str | None = None) -> UsageError:
    return UsageError(f"invalid template: {what} at character {position + 1}", code="invalid-template", hint=hint)


_PATTERN = re.compile(
    r"""
      (?P<field>\.[^\W\d]\w*)
    | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?))
    | (?P<dot>\.)
    | (?P<variable>\$\w*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<sign>:=|[=()|,])
    | (?P<word>[^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"\{\{(?:-\s)?/\*.*?\*/(?:\s-)?\}\}", re.DOTALL)
_SPACE = re.compile(r"\s*")
_SIMPLE = {
    "field": Kind.FIELD,
    "dot": Kind.DOT,
    "variable": Kind.VARIABLE,
    "sign": Kind.SIGN,
    "word": Kind.WORD,
}


def pieces(text: str, begin: int) -> Iterator[Piece]:
    """Cut ``text`` from ``begin``. ``{{-`` and ``-}}`` take the white space beside them away."""
    position, trims = begin, False
    while position < len(text):
        start = text.find("{{", position)
        plain = text[position:] if start < 0 else text[position:start]
        if trims:
            plain = plain.lstrip()
        if start >= 0 and text.startswith("{{-", start) and text[start + 3 : start + 4].isspace():
            plain = plain.rstrip()
        if plain:
            yield Piece(plain, position=position)
        if start < 0:
            return
        comment = _COMMENT.match(text, start)
        if comment is not None:
            position, trims = comment.end(), comment[0].endswith("-}}")
            continue
        tokens, position, trims = _action(text, start)
        yield Piece(tokens=tokens, position=start)


def _action(text: str, start: int) -> tuple[tuple[Token, ...], int, bool]:
    """The words of the action that begins at ``start``, where it ends, and whether it trims what follows."""
    at = start + 2
    if text.startswith("-", at) and text[at + 1 : at + 2].isspace():
        at += 1
    tokens: list[Token] = []
    while True:
        begin, at = at, _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well
        trims = at > begin and text.startswith("-}}", at)
        if trims or text.startswith("}}", at):
            tokens.append(Token(Kind.END, "}}", at, is_spaced=at > begin))
            return tuple(tokens), at + (3 if trims else 2), trims
        if at == len(text):
            raise invalid("unclosed action", start, hint="an action is written {{...}}")
        found = _PATTERN.match(text, at)
        if found is None:
            raise invalid("unterminated string" if text[at] in '"`' else f"unexpected {text[at]!r}", at)
        tokens.append(_token(found, is_spaced=at > begin))
        at = found.end()


def _token(found: re.Match[str], *, is_spaced: bool) -> Token:
    kind, word, position = str(found.lastgroup), found[0], found.start()
    if kind in _SIMPLE:
        return Token(_SIMPLE[kind], word, position, is_spaced)
    return Token(Kind.LITERAL, word, position, is_spaced, _literal(kind, word, position))


def _literal(kind: str, word: str, position: int) -> str | int | float:
    if kind == "raw":
        return word[1:-1]
    if kind == "number":
        if "x" in word.lower():
            return int(word, 16)
        return float(word) if "." in word else int(word)
    return _unquoted(word, position)


def _unquoted(word: str, position: int) -> str:
    """A string with Go's escapes, of which JSON knows all that matter but ``\\'`` and the hexadecimal ones."""
    text = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", word).replace(r"\a", "\\u0007").replace(r"\v", "\\u000b")
    try:
        return str(json.loads(text, strict=False))
    except ValueError as error:
        raise invalid(f"bad string {word}", position) from error
