"""Work on a few threads, results in the order it was given, memory bounded by who takes them out."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

A = TypeVar("A")
R = TypeVar("R")

MAX_THREADS = 4


class Conveyor(Generic[R]):
    """Compression, decompression and hashing release the GIL, so threads are enough.

    Threads start with the first piece of work. Leaving the ``with`` block, in whatever way, drops what has not
    begun and waits for what has.
    """

    def __init__(self) -> None:
        self.threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[R]] = deque()
        self._started: list[int] = []  # thread ids, as the kernel counts
        self._niceness = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, work: Callable[[A], R], item: A) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="archive", initializer=self._begin)
        self._waiting.append(self._pool.submit(work, item))

    def results(self, *, keep: int = 0) -> Iterator[R]:
        """The oldest results, waited for, until only ``keep`` pieces of work are left; raises what the work raised."""
        while len(self._waiting) > keep:
            yield self._waiting.popleft().result()

    def set_niceness(self, niceness: int) -> None:
        """How much the threads, also those that have begun, leave to others (nice(2), which Linux has per thread)."""
        self._niceness = niceness
        for thread in self._started:
            renice(thread, niceness)

    def _begin(self) -> None:
        thread = threading.get_native_id()
        self._started.append(thread)
        renice(thread, self._niceness)

    def stop(self) -> None:
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def renice(thread: int, niceness: int) -> None:
    with suppress(OSError):  # without CAP_SYS_NICE nobody becomes less nice
        if os.getpriority(os.PRIO_PROCESS, thread) != niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
