"""The plot: what each measure takes, with Podman's time as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import table
from bench.results import FLOOR, OURS, THEIRS, Row
from bench.svg import Drawing

MEASURES = {
    "export_s": "export",
    "running-frozen_s": "frozen, --leave-running",
    "import_s": "import",
    "ps_s": "ps",
}
GOAL = 1 / 3  # of Podman's time, from LARGE on
WIDTH, LEFT, EDGE = 760, 130, 8
SCALE = 440  # Podman's time
LONGEST = 1.25  # a bar that would be longer is cut
BAR, GAP, HEAD, TITLE, FOOT = 12, 10, 58, 26, 34
KINDS = {THEIRS: "theirs", OURS: "ours", FLOOR: "floor"}
LEGEND = {THEIRS: "Podman", OURS: "pyodcr", FLOOR: "floor: the runtime's bare dump or restore in memory"}


def plotted(rows: Iterable[Row]) -> list[Row]:
    """Those that are drawn: measured on both sides, by measure."""
    found = [row for row in rows if row.what in MEASURES and {OURS, THEIRS} <= row.figures.keys()]
    order = list(MEASURES)
    return sorted(found, key=lambda row: order.index(row.what))


def draw(rows: Sequence[Row], caption: str) -> str:
    """An SVG document of :func:`plotted` rows."""
    shown = plotted(rows)
    heights = [GAP + BAR * len(_sides(row)) for row in shown]
    bottom = HEAD + sum(heights) + len({row.what for row in shown}) * TITLE
    drawing = Drawing(WIDTH, bottom + FOOT, "pyodcr and Podman: times in proportion to Podman's")
    _legend(drawing)
    for share, kind, words in ((GOAL, "goal", "a third"), (1.0, "line", "as Podman")):
        drawing.line(LEFT + share * SCALE, HEAD - 4, LEFT + share * SCALE, bottom, kind)
        drawing.text(LEFT + share * SCALE, bottom + 13, words, "small middle")
    drawing.text(EDGE, bottom + 28, caption, "small")
    y, what = float(HEAD), ""
    for row, height in zip(shown, heights, strict=True):
        if row.what != what:
            what = row.what
            y += TITLE
            drawing.text(EDGE, y - 8, MEASURES[what], "head")
            drawing.line(EDGE, y - 2, WIDTH - EDGE, y - 2)
        _bars(drawing, row, y + GAP / 2)
        y += height
    return drawing.render()


def _legend(drawing: Drawing) -> None:
    drawing.text(EDGE, 18, "Time in proportion to Podman's (shorter is better)", "title")
    x = float(EDGE)
    for side, words in LEGEND.items():
        drawing.bar(x, 30, 12, 12, KINDS[side])
        drawing.text(x + 18, 41, words)
        x += 34 + 7.2 * len(words)


def _sides(row: Row) -> list[str]:
    return [side for side in KINDS if side in row.figures]


def _bars(drawing: Drawing, row: Row, y: float) -> None:
    sides = _sides(row)
    drawing.text(LEFT - 10, y + len(sides) * BAR / 2 + 4, row.scene, "end")
    whole = row.figures[THEIRS].median
    for index, side in enumerate(sides):
        value = row.figures[side].median
        length = min(value / whole, LONGEST) * SCALE
        drawing.bar(LEFT, y + index * BAR, length, BAR - 2, KINDS[side])
        drawing.text(LEFT + length + 5, y + index * BAR + BAR - 3, table.number(row.what, value), "small")
