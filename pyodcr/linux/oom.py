"""Who is spared when memory runs out (proc(5), oom_score_adj)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Not -1000, which is never: in a cgroup with a limit, where nobody may be killed, everybody waits for ever.
LAST = -999
OWN = Path("/proc/self/oom_score_adj")


@contextmanager
def spared() -> Iterator[None]:
    """This process, and what it starts meanwhile, is the last to be killed for want of memory.

    It takes CAP_SYS_RESOURCE; without that everything is as before.
    """
    before = OWN.read_text()
    with suppress(OSError):
        OWN.write_text(str(LAST))
    try:
        yield
    finally:
        with suppress(OSError):
            OWN.write_text(before)
