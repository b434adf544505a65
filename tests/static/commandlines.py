"""The pyodcr command lines that a page shows, held against the commands there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyodcr.cli.app import CONTAINER, TOP, load

IN_CODE = re.compile(r"(?:^|[$#|;]|\s[A-Z_]+=\S+)\s*(pyodcr [a-z-].*)")
IN_TEXT = re.compile(r"`(pyodcr [a-z-][^`]*)`")


def shown(page: Path) -> Iterator[str]:
    """Those in code: indented, fenced, or between backticks."""
    fenced = False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found = IN_CODE.search(line.strip().partition(" # ")[0])
            if found:
                yield found[1]
        else:
            yield from IN_TEXT.findall(line)


def problems(line: str) -> Iterator[str]:
    """What is wrong with one: an unknown command or option. Words of the container's own command are not judged."""
    words = shlex.split(line.partition(" | ")[0].replace("...", ""), comments=True)[1:]
    while words and words[0].startswith("-"):  # global options, with their values
        alone = "=" in words[0] or words[0] in ("--version", "-v", "--help", "-h")
        words = words[1 if alone else 2 :]
    if words and words[0] == "COMMAND":
        return
    table: Any = TOP
    command: Any = None
    while words and (command is None or hasattr(command, "commands")):
        name = words.pop(0)
        command = load(table[name], name) if table in (TOP, CONTAINER) and name in table else table.get(name)
        if command is None:
            yield f"there is no command {name}"
            return
        table = CONTAINER if name == "container" else getattr(command, "commands", {})
    if command is not None:
        yield from _options(command, words)


def _options(command: Any, words: list[str]) -> Iterator[str]:
    known = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    rest = iter(words)
    for word in rest:
        if word in ("--help", "-h"):
            continue
        if not word.startswith("-") or word == "-":
            if not command.context_settings.get("allow_interspersed_args", True):
                return
            continue
        name, has_value, _ = word.partition("=")
        if name not in known and not name.startswith("--"):  # -Re: the last of the letters may take a value
            name = f"-{name[-1]}"
        if name not in known:
            yield f"there is no option {name}"
        elif not (has_value or getattr(known[name], "is_flag", False)):
            next(rest, None)
