"""Private directories for what is not yet, or no longer, part of the store.

``staging/PID-STARTTIME-RANDOM``: the name says whose it is, so what a killed process left is known by its
owner being dead, and swept. Everything enters the store by a rename out of here, and leaves it by one into here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyodcr.errors import SystemFailed
from pyodcr.linux import boot, files


@contextmanager
def directory(parent: Path) -> Iterator[Path]:
    """A new directory for the length of the block, removed with all in it."""
    files.make_directory(parent)
    prefix = f"{os.getpid()}-{boot.own_start_time()}-"
    try:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise files.failed("create a directory in", parent, error) from error
    try:
        yield path
    finally:
        files.remove_tree(path)


def sweep(parent: Path) -> list[str]:
    """Remove what dead processes left, and return its names.

    A child of theirs may still write there; then the next sweep gets it.
    """
    try:
        left = list(parent.iterdir())
    except FileNotFoundError:
        return []
    swept = []
    for path in left:
        pid, _, rest = path.name.partition("-")
        started = rest.partition("-")[0]
        known = pid.isdecimal() and started.isdecimal()
        if not known or not boot.is_alive(int(pid), int(started)):
            with suppress(SystemFailed):
                files.remove_tree(path)
                swept.append(path.name)
    return swept
