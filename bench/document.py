"""docs/performance.md: its tables and numbers are written by the bench, between two marks; the words are ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import stages, table
from bench.results import FLOOR, OURS, THEIRS, Results, Row, summary

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def put(page: str, numbers: str) -> str:
    """The page with ``numbers`` between the marks; raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{numbers}\n{END}{after}"


def numbers(results: Results) -> str:
    rows = summary(results.samples)
    compared = [row for row in rows if {OURS, THEIRS} <= row.figures.keys()]
    parts = [row for row in rows if row.what.endswith(stages.SUFFIX)]
    floors = [row for row in rows if FLOOR in row.figures]
    told = "".join(f"| {name} | {value} |\n" for name, value in results.facts.items())
    return "\n".join(
        (
            f"| | |\n| --- | --- |\n{told}",
            "### Compared\n",
            _markdown(
                ("", "measure", "pyodcr", "(least)", "Podman", "(least)", "ratio", "floor"), map(table.cells, compared)
            ),
            "### Where our time goes\n",
            _markdown(("part", *_scenes(parts)), _by_scene(parts, OURS)),
            "### The floor\n",
            _markdown(("", *_scenes(floors)), _by_scene(floors, FLOOR)),
        )
    )


def _scenes(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.scene for row in rows))


def _by_scene(rows: Sequence[Row], side: str) -> list[tuple[str, ...]]:
    """A line for each measure, a column for each scene."""
    found = {(row.what, row.scene): table.number(row.what, row.figures[side].median) for row in rows}
    measures = dict.fromkeys(row.what for row in rows)
    return [
        (table.words(what, floor=side == FLOOR), *(found.get((what, scene), "") for scene in _scenes(rows)))
        for what in measures
    ]


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    marks = ["---", *("---:" for _ in head[1:])]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, marks, *lines))
