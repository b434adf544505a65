"""What the measured containers hold in their memory."""

from __future__ import annotations

import zlib

from bench import workload


def test_half_of_the_memory_is_random_and_half_compresses() -> None:
    memory = workload.fill(4)
    assert memory is not None
    assert len(memory) == 4 << 20
    squeezed = [
        len(zlib.compress(memory[block * workload.BLOCK_BYTES :][: workload.BLOCK_BYTES], 1)) for block in range(4)
    ]
    assert all(size < workload.BLOCK_BYTES / 20 for size in squeezed[0::2])
    assert all(size > workload.BLOCK_BYTES * 0.99 for size in squeezed[1::2])


def test_no_page_of_it_is_empty() -> None:
    memory = workload.fill(2)
    assert memory is not None
    assert all(memory[page : page + 4096].strip(b"\0") for page in range(0, len(memory), 4096))


def test_its_sum_tells_one_byte() -> None:
    memory = workload.fill(1)
    assert memory is not None
    before = workload.total(memory)
    assert workload.total(memory) == before
    memory[4711] ^= 1
    assert workload.total(memory) != before
    assert workload.total(workload.fill(0)) == 0
