from __future__ import annotations

import pytest

from pyodcr.checkpoint.compatibility import NEEDS, Affects, unmet
from pyodcr.linux.release import Release

EVERYTHING, SOCKETS, RESTORE = Affects.EVERYTHING, Affects.SOCKETS, Affects.RESTORE


@pytest.mark.parametrize(
    ("kernel", "criu", "affected"),
    [
        # Debian 12 as released, then with a kernel of July 2025
        ((6, 1, 90), (3, 17, 1), [EVERYTHING]),
        ((6, 1, 147), (3, 17, 1), [EVERYTHING, RESTORE]),
        ((6, 1, 90), (3, 19), []),
        # the layout of the vDSO
        ((6, 12, 9), (4, 0), []),
        ((6, 13), (4, 0), [EVERYTHING]),
        ((6, 13), (4, 1), []),
        # mount propagation, in stable series and since 6.16 everywhere
        ((6, 12, 33), (4, 1), []),
        ((6, 12, 34), (4, 1), [RESTORE]),
        ((6, 12, 34), (4, 1, 1), []),
        ((6, 14, 11), (4, 1), []),
        # socket options: Debian 13 with a kernel from backports
        ((6, 15, 9), (4, 1, 1), []),
        ((6, 16), (4, 1, 1), [SOCKETS]),
        ((6, 18, 44), (4, 1), [RESTORE, SOCKETS]),
        ((6, 18, 44), (4, 2), []),
        ((7, 3), (4, 2, 1), []),
    ],
)
def test_what_fails(kernel: tuple[int, ...], criu: tuple[int, ...], affected: list[Affects]) -> None:
    assert [need.affects for need in unmet(Release(*kernel), Release(*criu))] == affected


def test_the_stable_kernels_of_a_need_are_older_than_its_mainline() -> None:
    for need in NEEDS:
        *stable, mainline = need.kernels
        assert all(first < mainline for first in stable)
