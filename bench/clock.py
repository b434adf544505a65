"""A container's clock, read from outside: when it ticked last, and for how long it stood still."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from pathlib import Path

from bench import workload

READY_WAIT_S = 600.0
SETTLED_S = 0.02  # after the first tick: it has also been written down as the end of a gap


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence between two ticks, in nanoseconds of CLOCK_REALTIME."""

    begin_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.begin_ns) / 1e9


def gaps(page: bytes) -> list[Gap]:
    """The silences that a page still knows, oldest first."""
    numbers = struct.unpack(f"<{len(page) // 8}Q", page)
    count = numbers[workload.GAPS]
    places = [number % workload.RING_GAPS for number in range(max(0, count - workload.RING_GAPS), count)]
    return [Gap(*numbers[workload.RING_AT + place * 2 :][:2]) for place in places]


class Clock:
    """The page in ``directory``, which lies on a tmpfs and is mounted into one container as /clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._page = directory / "page"
        self._page.write_bytes(bytes(workload.PAGE_BYTES))

    def _number(self, index: int) -> int:
        return int(struct.unpack_from("<Q", self._page.read_bytes(), index * 8)[0])

    def last_tick_ns(self) -> int:
        return self._number(workload.TICK)

    def wait_for_tick(self, after_ns: int = 0) -> int:
        """The time of a tick later than ``after_ns``."""
        deadline = time.monotonic() + READY_WAIT_S
        while time.monotonic() < deadline:
            if (tick := self.last_tick_ns()) > after_ns:
                return tick
            time.sleep(0.001)
        raise TimeoutError(f"{self.directory}: no tick within {READY_WAIT_S} s")

    def longest_gap(self, since_ns: int) -> Gap:
        """The longest silence that ended after ``since_ns``."""
        found = [gap for gap in gaps(self._page.read_bytes()) if gap.end_ns > since_ns]
        return max(found, key=lambda gap: gap.seconds, default=Gap(0, workload.GAP_NS))

    def memory_sum(self) -> int:
        """The memory's checksum, added up now by the container itself."""
        wanted = self._number(workload.ANSWERED) + 1
        with self._page.open("r+b") as page:
            page.seek(workload.ASKED * 8)
            page.write(struct.pack("<Q", wanted))
        deadline = time.monotonic() + READY_WAIT_S
        while self._number(workload.ANSWERED) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.directory}: no checksum within {READY_WAIT_S} s")
            time.sleep(0.01)
        return self._number(workload.SUM)
