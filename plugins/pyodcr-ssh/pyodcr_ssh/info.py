"""What the far side tells of a file: ``SIZE INODE SECONDS TIME``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pyodcr.checkpoint.destinations.base import ObjectInfo
from pyodcr.errors import DestinationError


def parse(said: str, url: str) -> ObjectInfo:
    """``TIME`` is in words and in UTC; its digits reach to the nanosecond where the far side's stat does."""
    match said.split(" ", 3):
        case [size, inode, seconds, time] if size.isdigit() and seconds.lstrip("-").isdigit():
            modified = datetime.fromtimestamp(int(seconds), UTC)
            return ObjectInfo(url, int(size), modified, "-".join([inode, size, re.sub(r"\D", "", time)]))
    raise DestinationError(f"cannot read {url}: the host says {said!r} of it", code="destination-failed")
