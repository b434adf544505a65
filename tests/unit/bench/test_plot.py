"""The plot is a whole SVG document, and its bars are as long as the numbers say."""

from __future__ import annotations

from xml.etree import ElementTree

from bench import plot
from bench.results import FLOOR, OURS, THEIRS, Row, Sample, summary

SVG = "{http://www.w3.org/2000/svg}"


def rows(ours: float, theirs: float, *, what: str = "export_s", scene: str = "512 MiB") -> list[Row]:
    values = {OURS: ours, THEIRS: theirs, FLOOR: theirs / 10}
    return summary([Sample(scene, what, side, 0, value) for side, value in values.items()])


def bars(document: str, kind: str) -> list[float]:
    found = ElementTree.fromstring(document).iter(f"{SVG}rect")
    return [float(bar.get("width") or 0) for bar in found if bar.get("class") == kind][1:]  # the first is the legend's


def test_bars_are_in_proportion_to_podmans() -> None:
    drawn = plot.draw(rows(1, 4), "")
    assert bars(drawn, "theirs") == [plot.SCALE]
    assert bars(drawn, "ours") == [plot.SCALE / 4]
    assert bars(drawn, "floor") == [plot.SCALE / 10]


def test_a_bar_that_would_leave_the_page_is_cut() -> None:
    assert bars(plot.draw(rows(100, 1), ""), "ours") == [round(plot.LONGEST * plot.SCALE, 1)]


def test_what_cannot_be_compared_is_not_drawn() -> None:
    alone = summary([Sample("16 MiB", "import_s", OURS, 0, 1.0)])
    assert plot.plotted([*alone, *rows(1, 2, what="archive_bytes")]) == []


def test_measures_stand_together() -> None:
    mixed = [*rows(1, 2, scene="a"), *rows(1, 2, what="import_s", scene="a"), *rows(1, 2, scene="b")]
    assert [(row.what, row.scene) for row in plot.plotted(mixed)] == [
        ("export_s", "a"),
        ("export_s", "b"),
        ("import_s", "a"),
    ]


def test_words_cannot_break_the_document() -> None:
    drawn = plot.draw(rows(1, 2, scene="<&>"), "a & b")
    words = [text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert "<&>" in words
    assert "a & b" in words


def test_nothing_lies_beyond_the_edges() -> None:
    document = ElementTree.fromstring(plot.draw([*rows(1, 2), *rows(9, 2, what="import_s")], ""))
    width, height = map(float, (document.get("viewBox") or "").split()[2:])
    for bar in document.iter(f"{SVG}rect"):
        assert float(bar.get("x") or 0) + float(bar.get("width") or 0) <= width
        assert float(bar.get("y") or 0) + float(bar.get("height") or 0) <= height
