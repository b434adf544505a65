"""A file is one noun or one verb; a name that says nothing gathers everything."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAYS_NOTHING = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc|lib)(_|$)")
PLACES = ("pyodcr", "plugins", "tests", "tools", "bench")


def test_no_file_or_directory_is_named_for_nothing() -> None:
    paths = [
        path
        for place in PLACES
        for path in (ROOT / place).rglob("*")
        if "__pycache__" not in path.parts and (path.is_dir() or path.suffix == ".py")
    ]
    assert paths
    found = [str(path.relative_to(ROOT)) for path in paths if SAYS_NOTHING.search(path.stem)]
    assert not found
