from __future__ import annotations

import pytest

from pyodcr.linux import release
from pyodcr.linux.release import Release


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Version: 4.2.1\nGitID: 0\n", Release(4, 2, 1)),
        ("Version: 4.2\n", Release(4, 2, 0)),
        ("crun version 1.28", Release(1, 28, 0)),
        ("1.3.6+ds1", Release(1, 3, 6)),
        ("6.12.41+deb13-amd64", Release(6, 12, 41)),
        ("no number", None),
        ("", None),
    ],
)
def test_parse_takes_the_first_number(text: str, expected: Release | None) -> None:
    assert release.parse(text) == expected


def test_releases_compare_by_number_and_with_tuples() -> None:
    assert Release(4, 2) < Release(4, 10)
    assert Release(4, 1, 1) > Release(4, 1)
    assert Release(4, 2, 1) >= (4, 2)
    assert not Release(4, 1, 9) >= (4, 2)


def test_a_release_is_written_as_programs_write_it() -> None:
    assert str(Release(4, 2, 1)) == "4.2.1"
    assert str(Release(4, 2)) == "4.2"


def test_the_running_kernel_has_a_release() -> None:
    assert release.kernel() > (3, 0)
