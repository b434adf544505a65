"""A page as the workload writes it, read from outside."""

from __future__ import annotations

import struct
from pathlib import Path

from bench import workload
from bench.clock import Clock, Gap, gaps


def page(*found: tuple[int, int], count: int | None = None, tick: int = 0) -> bytes:
    numbers = [0] * (workload.PAGE_BYTES // 8)
    numbers[workload.TICK] = tick
    numbers[workload.GAPS] = len(found) if count is None else count
    for index, (begin, end) in enumerate(found):
        numbers[workload.RING_AT + 2 * index : workload.RING_AT + 2 * index + 2] = [begin, end]
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def test_gaps_are_read_in_their_order() -> None:
    assert gaps(page((1, 5), (9, 12))) == [Gap(1, 5), Gap(9, 12)]
    assert gaps(page()) == []


def test_a_full_ring_has_forgotten_the_oldest() -> None:
    ring = [(number, number + 1) for number in range(workload.RING_GAPS)]
    ring[0] = (7_000_000, 7_000_001)  # written over: one more than it holds
    found = gaps(page(*ring, count=workload.RING_GAPS + 1))
    assert len(found) == workload.RING_GAPS
    assert found[0] == Gap(1, 2)
    assert found[-1] == Gap(7_000_000, 7_000_001)


def test_the_ring_fits_into_the_page() -> None:
    assert (workload.RING_AT + 2 * workload.RING_GAPS) * 8 == workload.PAGE_BYTES


def test_the_longest_gap_since_a_moment(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    assert clock.last_tick_ns() == 0
    (tmp_path / "page").write_bytes(
        page((0, 900_000_000), (1_000_000_000, 1_400_000_000), (2_000_000_000, 2_100_000_000))
    )
    assert clock.longest_gap(950_000_000).seconds == 0.4
    assert clock.longest_gap(1_500_000_000) == Gap(2_000_000_000, 2_100_000_000)


def test_no_gap_is_as_long_as_what_is_not_written_down(tmp_path: Path) -> None:
    assert Clock(tmp_path).longest_gap(1).seconds == workload.GAP_NS / 1e9


def test_a_tick_after_a_moment(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    (tmp_path / "page").write_bytes(page(tick=77))
    assert clock.wait_for_tick(76) == 77
