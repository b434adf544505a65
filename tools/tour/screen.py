"""What the tour looks like: steps, commands as they are typed, facts below them, times at the right margin.

3  Freeze it into a file
   hosta# pyodcr checkpoint --export /shared/redis.tar.zst redis                                1.4 s
          archive  9.8 MiB of 52.1 MiB
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence

MARGIN = 100
INDENT = "      "
BOLD, DIM, GREEN, RED, PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"


class Screen:
    """Standard output; colours on a terminal only."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty()
        self._width = min(MARGIN, shutil.get_terminal_size((MARGIN, 0)).columns)
        self._steps = 0

    def title(self, text: str, below: str) -> None:
        print(f"\n{self._in(BOLD, text)}\n{self._in(DIM, below)}")

    def step(self, text: str) -> None:
        self._steps += 1
        print(f"\n{self._in(BOLD, f'{self._steps}  {text}')}", flush=True)

    def command(self, where: str, words: Sequence[str]) -> None:
        """A command that begins now, as one would type it: broken between words only, not between option and value."""
        lead = f"   {where}# "
        first, *rest = _phrases(words)
        lines = [first]
        for phrase in rest:
            if len(f"{lead}{lines[-1]} {phrase} \\") > self._width:
                lines.append(f"    {phrase}")
            else:
                lines[-1] += f" {phrase}"
        text = f" \\\n{' ' * len(lead)}".join(lines)
        print(f"{self._in(DIM, lead)}{text}", flush=True)

    def fact(self, name: str, text: str, seconds: float | None = None, *, good: bool = False) -> None:
        """Something that was found out; how long it took stands at the right margin."""
        label = f"{name:<11}"
        took = "" if seconds is None else f"{seconds:.1f} s".rjust(max(8, self._width - len(INDENT + label + text) - 1))
        print(f"{INDENT}{self._in(GREEN if good else DIM, label)} {text}{self._in(DIM, took)}", flush=True)

    def end(self, text: str) -> None:
        print(f"\n{self._in(GREEN + BOLD, text)}\n", flush=True)

    def failed(self, text: str) -> None:
        sys.stdout.flush()
        print(f"\n{self._in(RED + BOLD, 'demo failed:')} {text}", file=sys.stderr, flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._colours else text


def _phrases(words: Sequence[str]) -> Iterator[str]:
    """The words, quoted for a shell; an option and what follows it are one."""
    pending = ""
    for word in words:
        if pending and word.startswith("-"):
            yield pending
            pending = ""
        phrase = f"{pending} {shlex.quote(word)}".lstrip()
        pending = phrase if word.startswith("--") else ""
        if not pending:
            yield phrase
    if pending:
        yield pending


def size(count_bytes: int) -> str:
    """52.1 MiB; 734 KiB."""
    if count_bytes >= 1 << 20:
        return f"{count_bytes / (1 << 20):.1f} MiB"
    return f"{count_bytes / 1024:.0f} KiB"
