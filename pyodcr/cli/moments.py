"""Points in time as Podman's users type them: RFC 3339, a date, seconds since the epoch, or how long ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pyodcr import jsonio
from pyodcr.errors import UsageError

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+\Z")
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def parse(text: str) -> datetime | None:
    """None for an empty text; a time without a zone is local."""
    if not text:
        return None
    if DURATION.match(text):
        return jsonio.now() - timedelta(seconds=sum(float(n) * UNITS_S[unit] for n, unit in PART.findall(text)))
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text)).astimezone()
    try:
        found = jsonio.parse_time(text)
    except ValueError as error:
        raise UsageError(
            f'"{text}" is no time', hint="for instance 2026-11-23T17:00:00Z, 2026-11-23, 1795453200 or 10m (ago)"
        ) from error
    return None if found is None else found.astimezone()
