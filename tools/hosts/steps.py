"""The log of a build that a person watches: one line per step with its time, and a named cause when it fails."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import HostError

_STARTED_S = time.monotonic()
_FAILED_DOWNLOAD = re.compile(
    r"^\s*(?:E: Failed to fetch|Err:\d+|W: Couldn't download|E: Couldn't download|E: Failed getting|E: Invalid Release|"
    r"ERROR: (?:Could not find|No matching|Could not install|HTTP error)|E: Unable to locate package) ?.*$",
    re.MULTILINE,
)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and when it is done how long it took. On a terminal both are one line."""
    begun_s = time.monotonic()
    terminal = sys.stderr.isatty()
    stamp = f"[{begun_s - _STARTED_S:6.1f} s]"
    print(f"{stamp} {what} ...", end="" if terminal else "\n", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(" failed" if terminal else f"{stamp} {what} failed", file=sys.stderr, flush=True)
        raise
    took_s = time.monotonic() - begun_s
    if terminal:
        print(f" {took_s:.1f} s", file=sys.stderr, flush=True)


def failure(what: str, log: Path, *, offset: int) -> HostError:
    """The error for a tool that failed, naming the downloads that did, from what it wrote to `log` after `offset`."""
    with log.open("rb") as stream:
        stream.seek(offset)
        text = stream.read().decode(errors="replace")
    culprits = list(dict.fromkeys(match.strip() for match in _FAILED_DOWNLOAD.findall(text)))[:5]
    if culprits:
        named = "\n  ".join(culprits)
        return HostError(f"{what}: download failed\n  {named}", hint="run it again: it resumes; whole log: " + str(log))
    tail = "\n  ".join(text.splitlines()[-15:])
    return HostError(f"{what} failed:\n  {tail}", hint=f"whole log: {log}")
