"""glibc's allocator in a process through which buffers of a few MiB come and go (mallopt(3))."""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

LARGE_BYTES = 32 << 20
KEPT_BYTES = 64 << 20


@cache
def keep_freed() -> None:
    """Give what was freed to whoever asks next, on any thread, instead of back to the kernel.

    By default each large buffer is mapped and unmapped, or its pages given back: touching them again costs a fifth of
    the time of an import; and each thread has a heap of its own, which keeps a tenth more. To be called before threads
    are started. Elsewhere than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES)):
            mallopt(parameter, value)
