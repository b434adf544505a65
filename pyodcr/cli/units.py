"""Sizes, durations and moments as people write and read them: docker/go-units' words, Podman's ways to give a time."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from pyodcr import jsonio
from pyodcr.errors import UsageError

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def size(count: float, *, digits: int = 3, space: str = "") -> str:
    """``1.23MB``: powers of 1000, ``digits`` of them significant."""
    unit = 0
    while unit < len(_SIZES) - 1 and float(f"{count:.{digits}g}") >= 1000:
        count, unit = count / 1000, unit + 1
    return f"{count:.{digits}g}{space}{_SIZES[unit]}"


def duration(seconds: float) -> str:
    """``3 minutes``, ``About an hour``."""
    whole, minutes, hours = int(seconds), int(seconds / 60), int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if minutes < 1:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    for limit, length, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if days < limit:
            return f"{days // length} {name}"
    return f"{days // 365} years"


def ago(moment: datetime | None, now: datetime) -> str:
    return duration((now - moment).total_seconds()) + " ago" if moment is not None else ""


def timestamp(moment: datetime) -> str:
    """``2026-05-01 10:00:00.123456 +0200 CEST``, as Go prints a time, in the zone of this process."""
    local = moment.astimezone()
    fraction = f".{local.microsecond:06}".rstrip("0").rstrip(".")
    return f"{local:%Y-%m-%d %H:%M:%S}{fraction} {local:%z %Z}"


def moment(text: str, option: str, *, ahead: bool = False) -> datetime:
    """What ``--since`` or ``--until`` was given: RFC 3339, a date, seconds since the epoch, or a duration (``1h30m``).

    A duration leads back from now, or with ``ahead`` into the future. Without a zone a time is UTC, as with Podman.
    """
    try:
        return _given(text, ahead=ahead)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f'{option} "{text}" is not a time', hint="for instance 10m, 2026-05-01T10:00:00Z, 2026-05-01 or 1777629600"
        ) from error


def _given(text: str, *, ahead: bool) -> datetime:
    span_s = _span_s(text)
    if span_s is not None:
        return jsonio.now() + timedelta(seconds=span_s if ahead else -span_s)
    try:
        seconds = float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if not math.isfinite(seconds):
        raise ValueError(text)
    return datetime.fromtimestamp(seconds, UTC)


def _span_s(text: str) -> float | None:
    """A Go duration in seconds."""
    sign = -1.0 if text.startswith("-") else 1.0
    digits = text.lstrip("+-")
    parts = _DURATION.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        return None
    return sign * sum(float(number) * _SECONDS[unit] for number, unit in parts)
