"""The program in the measured containers: a memory of a given size, and a clock that is read from outside.

Run as ``python3 -I -S workload.py MIB FILES`` with a file of :data:`PAGE_BYTES` at /clock/page, which the bench sees
too. It fills MIB of private memory once (half random, half text that compresses well), writes FILES small files into
its root filesystem, and then ticks: each millisecond the time goes into the page, and each silence longer than
:data:`GAP_NS` into a ring there. So the longest silence is the time for which the container really stood still,
whoever caused it. On request it adds its memory up again: a restore that lost a byte is found.

The page never changes its size, as CRIU would refuse to restore an open file that did. Numbers are little-endian, 64
bits wide, times nanoseconds of CLOCK_REALTIME (a restored container has a time namespace: CRIU lets its
CLOCK_MONOTONIC go on where it stopped)::

    0 last tick   1 memory's sum   2 sum asked for (a number)   3 sum answered (the same number)   4 gaps so far
    8, 9 | 10, 11 | ...  a ring of gaps: the tick before, the tick after
"""

import mmap
import os
import struct
import sys
import time
import zlib

PAGE_BYTES = 65_536
TICK, SUM, ASKED, ANSWERED, GAPS = range(5)
RING_AT = 8
RING_GAPS = PAGE_BYTES // 16 - RING_AT // 2
GAP_NS = 3_000_000
TICK_S = 0.001
BLOCK_BYTES = 1 << 20


def fill(size_mib: int) -> mmap.mmap | None:
    """Touches each page once; odd blocks are random, even ones text with a number in it."""
    if not size_mib:
        return None
    memory = mmap.mmap(-1, size_mib * BLOCK_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for block in range(size_mib):
        if block % 2:
            memory.write(os.urandom(BLOCK_BYTES))
        else:
            line = b"block %08d: the quick brown fox jumps over the lazy dog\n" % block
            memory.write((line * (BLOCK_BYTES // len(line) + 1))[:BLOCK_BYTES])
    return memory


def total(memory: mmap.mmap | None) -> int:
    return zlib.crc32(memory) if memory is not None else 0


def write_files(count: int) -> None:
    for number in range(count):
        if number % 100 == 0:
            directory = f"/var/files/{number // 100:04d}"
            os.makedirs(directory)
        with open(f"{directory}/{number % 100:02d}", "wb") as sink:
            sink.write(b"%d\n" % number * (number % 500))


def tick(page: int, memory: mmap.mmap | None) -> None:
    number = struct.Struct("<Q")

    def put(index: int, *values: int) -> None:
        os.pwrite(page, b"".join(map(number.pack, values)), index * 8)

    put(SUM, total(memory))
    gaps, answered, last = 0, 0, time.time_ns()
    while True:
        time.sleep(TICK_S)
        now = time.time_ns()
        if now - last > GAP_NS:
            put(RING_AT + gaps % RING_GAPS * 2, last, now)
            gaps += 1
            put(GAPS, gaps)
        put(TICK, now)
        last = now
        (asked,) = number.unpack(os.pread(page, 8, ASKED * 8))
        if asked != answered:
            put(SUM, total(memory))
            put(ANSWERED, asked)
            answered, last = asked, time.time_ns()


if __name__ == "__main__":
    write_files(int(sys.argv[2]))
    tick(os.open("/clock/page", os.O_RDWR), fill(int(sys.argv[1])))
