"""Every error code that the source can give, read off its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "pyodcr"
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TABLE = re.compile(r"_?([A-Z]+_)?(CODES|STATUS)")


def in_use() -> dict[str, str]:
    """Code -> a file that uses it."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    places = {name: index for tree in trees.values() for name, index in _records(tree)}
    return {
        code: str(path.relative_to(PACKAGE.parent))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        for code in _codes(node, places)
    }


def _records(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The dataclasses with a field ``code: str``, and its place among the arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            for index, item in enumerate(fields):
                if ast.unparse(item.target) == "code" and ast.unparse(item.annotation).startswith("str"):
                    yield node.name, index


def _codes(node: ast.AST, places: dict[str, int]) -> Iterator[str]:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from _strings(keyword.value)
        index = places.get(ast.unparse(node.func).rpartition(".")[2])
        if index is not None and index < len(node.args):
            yield from _strings(node.args[index])
    elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in ("code", "default_code") and node.value:
        yield from _strings(node.value)
    elif isinstance(node, ast.Assign) and node.value is not None:
        name = ast.unparse(node.targets[0])
        if name == "default_code":
            yield from _strings(node.value)
        elif TABLE.fullmatch(name) and isinstance(node.value, ast.Dict):
            for item in (*node.value.keys, *node.value.values):
                if item is not None:
                    yield from _strings(item)


def _strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and KEBAB.fullmatch(inner.value):
            yield inner.value
