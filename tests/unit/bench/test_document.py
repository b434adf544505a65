"""The page's numbers are written between two marks, and its words are left alone."""

from __future__ import annotations

import pytest

from bench import document
from bench.document import BEGIN, END
from bench.results import FLOOR, OURS, THEIRS, Results, Sample

PAGE = f"# Performance\n\nwords\n\n{BEGIN}\nold numbers\n{END}\n\nmore words\n"
FOUND = Results(
    {"kernel": "6.18"},
    (
        Sample("16 MiB", "export_s", OURS, 0, 0.2),
        Sample("16 MiB", "export_s", THEIRS, 0, 0.6),
        Sample("16 MiB", "export_s", FLOOR, 0, 0.05),
        Sample("16 MiB", "export: start; part_s", OURS, 0, 0.07),
        Sample("2 GiB", "export: start; part_s", OURS, 0, 0.08),
    ),
)


def test_numbers_stand_between_the_marks() -> None:
    page = document.put(PAGE, "new numbers\n")
    assert page == f"# Performance\n\nwords\n\n{BEGIN}\n\nnew numbers\n\n{END}\n\nmore words\n"
    assert document.put(page, "new numbers\n") == page


@pytest.mark.parametrize("page", ["no marks", f"{BEGIN} alone", f"{END} first {BEGIN}"])
def test_a_page_without_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page has no"):
        document.put(page, "")


def test_each_table_has_its_own_rows() -> None:
    told = document.numbers(FOUND)
    assert "| kernel | 6.18 |" in told
    assert "| 16 MiB | export | 200 ms | 200 ms | 600 ms | 600 ms | 3.00 | 50 ms |" in told
    assert "| part | 16 MiB | 2 GiB |\n| --- | ---: | ---: |\n| export: start | 70 ms | 80 ms |" in told
    assert "| bare dump in memory | 50 ms |" in told
