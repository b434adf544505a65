"""A working directory of one's own, for system calls that are given relative paths."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

CLONE_FS = 0x200


def call_in(directory: Path, action: Callable[[], None]) -> None:
    """Run ``action`` with ``directory`` as its working directory; the rest of the process keeps its own.

    A working directory belongs to a thread once it has unshared it (unshare(2), CLONE_FS), and that thread
    ends here. No fork: this process may have other threads.
    """
    failures: list[BaseException] = []

    def body() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_FS) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            os.chdir(directory)
            action()
        except BaseException as error:  # carried over to the caller's thread
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
