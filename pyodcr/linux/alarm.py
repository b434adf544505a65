"""Calling a thread out of a system call that may last for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def calling(look: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Gives a function, for other threads, that makes this one call ``look`` at once, which may raise.

    A blocked system call is left for it, and taken up again if nothing was raised (signal(7), PEP 475). Python runs
    signal handlers in the main thread only: to another thread the function does nothing. Nor does it after the block,
    where SIGALRM would be the end of the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    main, listening, still = threading.get_ident(), True, threading.Lock()

    def call() -> None:
        with still:
            if listening:
                signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, lambda number, frame: look())
    try:
        yield call
    finally:
        with still:
            listening = False
        signal.signal(signal.SIGALRM, before)
