"""The tree of errors is the one its docstring draws, and every error can be shown as it is."""

from __future__ import annotations

import inspect
import re

import pytest

from pyodcr import errors
from pyodcr.errors import CommandFailed, PyodcrError

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, PyodcrError)]
DRAWN = re.compile(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+) +(?P<code>[a-z-]+)", re.MULTILINE)


def drawn() -> dict[str, tuple[str, str]]:
    """Class -> (parent, code), from the docstring."""
    found: dict[str, tuple[str, str]] = {}
    above: list[tuple[int, str]] = []
    for match in DRAWN.finditer((errors.__doc__ or "").split("\n\n")[1]):
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        found[match["name"]] = (above[-1][1] if above else "Exception", match["code"])
        above.append((depth, match["name"]))
    return found


def test_the_drawing_is_true() -> None:
    assert drawn() == {found.__name__: (found.__mro__[1].__name__, found.default_code) for found in CLASSES}


def test_codes_are_words_of_their_own() -> None:
    codes = [found.default_code for found in CLASSES]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) for code in codes)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_what_an_error_carries(cls: type[PyodcrError]) -> None:
    needed = {"status": 1} if issubclass(cls, CommandFailed) else {}
    error = cls("it broke", hint="mend it", path="/x", **needed)  # type: ignore[arg-type]
    assert (error.message, str(error), error.hint) == ("it broke", "it broke", "mend it")
    assert (error.code, error.exit_status) == (cls.default_code, 125)
    assert error.details == {"path": "/x", **needed}
    assert cls("x", code="finer", **needed).code == "finer"  # type: ignore[arg-type]
