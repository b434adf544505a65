"""Which CRIU a kernel needs: a table, read by the preflight and by ``system check``.

CRIU follows the kernel's changes one by one; distributions often ship one that is older than their kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyodcr.linux.release import Release


class Affects(StrEnum):
    """What fails where the need is not met."""

    EVERYTHING = "every checkpoint and restore fails"
    SOCKETS = "containers with network sockets cannot be checkpointed"
    RESTORE = "containers cannot be restored"


@dataclass(frozen=True, slots=True)
class Need:
    """Kernels that need a CRIU.

    ``kernels`` are the first releases with the change: of stable series where it was brought back to them,
    and last of the mainline, which all later series follow.
    """

    kernels: tuple[Release, ...]
    criu: Release
    affects: Affects
    why: str

    def concerns(self, kernel: Release) -> bool:
        *stable, mainline = self.kernels
        return kernel >= mainline or any(kernel[:2] == first[:2] and kernel >= first for first in stable)


NEEDS: tuple[Need, ...] = (
    Need(
        (Release(0, 0),),
        Release(3, 19),
        Affects.EVERYTHING,
        "its action scripts, which the commit hook is, crash it when a runtime drives it",  # criu 28d0056
    ),
    Need(
        (Release(6, 13),),
        Release(4, 1),
        Affects.EVERYTHING,
        "the vDSO of the kernel has a new layout",  # criu#2532
    ),
    Need(
        (
            Release(5, 10, 239),
            Release(5, 15, 186),
            Release(6, 1, 142),
            Release(6, 6, 94),
            Release(6, 12, 34),
            Release(6, 15, 3),
            Release(6, 16),
        ),
        Release(4, 1, 1),
        Affects.RESTORE,
        "the kernel no longer lets mount propagation be changed from outside (CVE-2025-38498)",  # 12f147ddd6de
    ),
    Need(
        (Release(6, 16),),
        Release(4, 2),
        Affects.SOCKETS,
        "the kernel refuses SO_PASSCRED and SO_PASSSEC on network sockets",  # criu 4b73985
    ),
)


def unmet(kernel: Release, criu: Release) -> tuple[Need, ...]:
    return tuple(need for need in NEEDS if need.concerns(kernel) and criu < need.criu)
