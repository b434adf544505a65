"""Numbers with their units, in columns."""

from __future__ import annotations

import pytest

from bench import table
from bench.results import FLOOR, OURS, THEIRS, Sample, summary


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("export_s", 0.0123, "12 ms"),
        ("export_s", 0.9994, "999 ms"),
        ("export_s", 12.345, "12.35 s"),
        ("archive_bytes", 257.4 * 2**20, "257 MiB"),
    ],
)
def test_a_number_has_its_unit(what: str, value: float, said: str) -> None:
    assert table.number(what, value) == said


def test_columns_stand_under_each_other() -> None:
    rows = summary([Sample("16 MiB", "export_s", OURS, 0, 0.2), Sample("16 MiB", "export_s", THEIRS, 0, 0.6)])
    head, line = table.text(rows).splitlines()
    assert line.split() == ["16", "MiB", "export", "200", "ms", "200", "ms", "600", "ms", "600", "ms", "3.00"]
    assert head.index("pyodcr") + len("pyodcr") == line.index("200 ms") + len("200 ms")


def test_a_side_that_was_not_measured_leaves_its_cells_empty() -> None:
    [row] = summary([Sample("16 MiB", "export_s", OURS, 0, 0.2)])
    assert table.cells(row) == ("16 MiB", "export", "200 ms", "200 ms", "", "", "", "")


def test_what_only_the_floor_has_stands_in_its_column() -> None:
    [row] = summary([Sample("16 MiB", "zstd-3_s", FLOOR, 0, 0.2)])
    assert table.cells(row) == ("16 MiB", "zstd -3 of the memory, to nowhere", "", "", "", "", "", "200 ms")


def test_a_measure_of_the_floor_has_words_of_its_own() -> None:
    assert table.words("export_s") != table.words("export_s", floor=True)
    assert table.words("export: start; part_s") == "export: start"
