"""Work on a few threads, results in the order it was given, memory bounded by who takes them out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

A = TypeVar("A")
R = TypeVar("R")

MAX_THREADS = 4


class Conveyor(Generic[R]):
    """Compression, decompression and hashing release the GIL, so threads are enough.

    Threads start with the first piece of work. Leaving the ``with`` block, in whatever way, drops what has not
    begun and waits for what has.
    """

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="archive")
        self._waiting: deque[Future[R]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, work: Callable[[A], R], item: A) -> None:
        self._waiting.append(self._pool.submit(work, item))

    def results(self, *, keep: int = 0) -> Iterator[R]:
        """The oldest results, waited for, until only ``keep`` pieces of work are left; raises what the work raised."""
        while len(self._waiting) > keep:
            yield self._waiting.popleft().result()

    def stop(self) -> None:
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)
