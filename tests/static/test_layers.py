"""Imports run downward only, and only the command line talks to the user."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "pyodcr"
PLUGINS = sorted(path for path in PACKAGE.parent.glob("plugins/*/*") if (path / "__init__.py").exists())
# from the ground up; a module may import from its own layer and from those before it
LAYERS = (
    ("pyodcr", "pyodcr.errors", "pyodcr.process", "pyodcr.jsonio", "pyodcr.config", "pyodcr.plugins"),
    ("pyodcr.linux",),
    ("pyodcr.lifecycle",),
    ("pyodcr.checkpoint",),
    tuple(path.name for path in PLUGINS),
    ("pyodcr.engine",),
    ("pyodcr.cli", "pyodcr.__main__"),
)
ROOTS = {member.partition(".")[0] for members in LAYERS for member in members}
FILES = sorted(path for package in (PACKAGE, *PLUGINS) for path in package.rglob("*.py"))


def module(path: Path) -> str:
    root = next(package.parent for package in (PACKAGE, *PLUGINS) if package in path.parents)
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def layer(name: str) -> int:
    """The number of the layer; the ground is 0."""
    for number, members in enumerate(LAYERS):
        if any(name == member or (member != "pyodcr" and name.startswith(f"{member}.")) for member in members):
            return number
    raise AssertionError(f"{name} belongs to no layer")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) for each import anywhere in the file: inside functions and for type checkers too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else node.module


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_run_downward(path: Path) -> None:
    own = layer(module(path))
    upward = [
        f"line {line}: {name}" for line, name in imported(path) if name.partition(".")[0] in ROOTS and layer(name) > own
    ]
    assert not upward, f"{module(path)} imports from above itself: {', '.join(upward)}"


@pytest.mark.parametrize("path", [path for path in FILES if layer(module(path)) < len(LAYERS) - 1], ids=module)
def test_only_the_command_line_talks(path: Path) -> None:
    talk = [
        f"line {line}: import {name}" for line, name in imported(path) if name.partition(".")[0] in ("typer", "rich")
    ]
    talk += [
        f"line {node.lineno}: print()"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not talk, f"{module(path)}: {', '.join(talk)}"


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef f():\n    from pyodcr import engine\n"
    )
    assert sorted(imported(source)) == [(1, "typing"), (3, "a"), (5, "pyodcr.engine")]
