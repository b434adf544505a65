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
    signal handlers in the main thread only: to another thread the function does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    main = threading.get_ident()
    before = signal.signal(signal.SIGALRM, lambda number, frame: look())
    try:
        yield lambda: signal.pthread_kill(main, signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
