"""``--tls-verify=false``: a switch may be given its value, as Go's flags can, and so Podman's users write it.

Typer knows only ``--tls-verify`` and ``--no-tls-verify``; the words are rewritten before it reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from typer.core import TyperCommand

from pyodcr.errors import UsageError

# strconv.ParseBool
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class Switch:
    """What stands for its two values; ``off`` is empty where leaving it out is the only way."""

    on: str
    off: str = ""

    def word(self, value: str, name: str) -> str:
        if value in TRUE:
            return self.on
        if value in FALSE:
            return self.off
        raise UsageError(f'invalid argument "{value}" for "{name}"', hint="true or false")


class Command(TyperCommand):
    """A command whose switches take values."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for param in self.params:
            # "[default: no-file-locks]" tells nobody anything
            if getattr(param, "is_flag", False) and param.default is False:
                param.show_default = False  # type: ignore[attr-defined]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Without the braces that Typer puts around what is required: ``IMAGE [COMMAND [ARG...]]``, as everywhere."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = [option for option in self.get_params(ctx) if option.param_type_name == "option"]
        switches: dict[str, Switch] = {}
        for option in options:
            if getattr(option, "is_flag", False):
                on, off = option.opts[-1], next(iter(option.secondary_opts), "")
                switches |= dict.fromkeys(option.opts, Switch(on, off))
                switches |= dict.fromkeys(option.secondary_opts, Switch(off, on))
        others = frozenset(name for option in options for name in option.opts) - switches.keys()
        return super().parse_args(
            ctx, list(rewritten(args, switches, others, interspersed=ctx.allow_interspersed_args))
        )


def rewritten(
    words: Iterable[str], switches: Mapping[str, Switch], others: frozenset[str], *, interspersed: bool
) -> Iterator[str]:
    """``words`` with ``--switch=VALUE`` as Typer takes it; ``others`` are the options that need a value.

    Not ``interspersed``: what follows the first argument is the container's.
    """
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if equals and name in switches:
            yield from filter(None, [switches[name].word(value, name)])
            continue
        yield word
        if word == "--" or (not interspersed and (word == "-" or not word.startswith("-"))):
            yield from rest
        elif _wants_another(word, others):
            yield from islice(rest, 1)


def _wants_another(word: str, others: frozenset[str]) -> bool:
    """Whether the value of an option is the next word: ``--env A=b``, ``-ite A=b`` but not ``-eA=b``."""
    if word.startswith("--") or not word.startswith("-"):
        return word in others
    for index, letter in enumerate(word[1:], start=2):
        if f"-{letter}" in others:
            return index == len(word)
    return False
