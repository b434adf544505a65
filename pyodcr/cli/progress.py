"""A bar with rate and rest on a terminal, JSON lines for programs, nothing otherwise; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from pyodcr import jsonio
from pyodcr.checkpoint.options import Progress, no_progress

JSON_INTERVAL_S = 0.5


class Style(StrEnum):
    AUTO = "auto"  # a bar where standard error is a terminal
    BAR = "bar"
    JSON = "json"
    NONE = "none"


@contextmanager
def shown(style: Style, label: str) -> Iterator[Progress]:
    if style is Style.JSON:
        yield _json_lines(label)
    elif style is Style.BAR or (style is Style.AUTO and sys.stderr.isatty()):
        with _bar(label) as progress:
            yield progress
    else:
        yield no_progress


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(desc=label, unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr) as bar:

        def progress(done_bytes: int, total_bytes: int) -> None:
            bar.total = total_bytes or None
            bar.update(done_bytes - bar.n)

        yield progress


def _json_lines(label: str) -> Progress:
    last = 0.0

    def progress(done_bytes: int, total_bytes: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= JSON_INTERVAL_S or done_bytes == total_bytes:
            last = now
            line = {"container": label, "done_bytes": done_bytes, "total_bytes": total_bytes}
            print(jsonio.dumps(line), file=sys.stderr, flush=True)

    return progress
