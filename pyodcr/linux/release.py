"""Release numbers: of the running kernel, and of the programs whose age matters."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Release(NamedTuple):
    """Compares with other releases, and with plain tuples: ``release >= (4, 2)``."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}" + (f".{self.patch}" if self.patch else "")


def parse(text: str) -> Release | None:
    """The first ``N.N`` or ``N.N.N`` in what a program says of itself; what follows it is the packager's."""
    found = _NUMBERS.search(text)
    return Release(*(int(part or 0) for part in found.groups())) if found else None


def kernel() -> Release:
    return parse(os.uname().release) or Release(0, 0)
