"""The documentation tells the truth where a machine can see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.static import commandlines, errorcodes

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("plugins/*/*.md")])
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
CODE_CELL = re.compile(r"`([a-z0-9-]+)`")


def documented_codes() -> list[str]:
    rows = [line for line in (ROOT / "docs/errors.md").read_text().splitlines() if line.startswith("| `")]
    return [code for row in rows for code in CODE_CELL.findall(row.split("|")[1])]


def test_every_error_code_is_documented() -> None:
    used = errorcodes.in_use()
    missing = {code: place for code, place in used.items() if code not in documented_codes()}
    assert not missing, "these codes are not in docs/errors.md"


def test_every_documented_code_exists_and_stands_once() -> None:
    codes = documented_codes()
    assert sorted(codes) == sorted(set(codes))
    assert not set(codes) - set(errorcodes.in_use()), "no code of pyodcr's is called so"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = [target for target in _relative_links(page) if not (page.parent / target).exists()]
    assert not dead


def _relative_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("#"):
            yield target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    wrong = [f"{line}: {problem}" for line in commandlines.shown(page) for problem in commandlines.problems(line)]
    assert not wrong


@pytest.mark.parametrize("package", ["", "checkpoint", "lifecycle"])
def test_every_module_stands_in_the_tree(package: str) -> None:
    drawn = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    there = [path for path in (ROOT / "pyodcr" / package).iterdir() if not path.name.startswith("__")]
    names = [f" {path.name}/" if path.is_dir() else f" {path.name}" for path in there]
    assert not [name for name in names if name not in drawn]
