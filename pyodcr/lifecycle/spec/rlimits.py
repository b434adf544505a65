"""`--ulimit` and the limits every container gets. Names and words are those of docker/go-units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject

_NAMES = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
UNLIMITED = 2**64 - 1  # RLIM_INFINITY
DEFAULT = 1_048_576  # libpod's for nofile and nproc; also the kernel's fs.nr_open, which nofile may not exceed


def parse(ulimits: Sequence[str], ceilings: Mapping[str, int]) -> list[JsonObject]:
    """OCI ``process.rlimits`` of ``NAME=SOFT[:HARD]`` words; -1 is unlimited.

    ``host`` leaves every limit as it is on the host. ``ceilings`` bound the defaults only: whoever asks
    for more than we may give hears it from the runtime.
    """
    if "host" in ulimits:
        return []
    limits = {
        name: _limit(name, min(DEFAULT, ceilings.get(name, DEFAULT))) for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC")
    }
    for text in ulimits:
        limit = _parse(text)
        limits[limit["type"]] = limit
    return list(limits.values())


def _parse(text: str) -> JsonObject:
    name, equals, values = text.lower().removeprefix("rlimit_").partition("=")
    problem = f'ulimit option "{text}" requires name=SOFT:HARD, failed to be parsed'
    if not equals:
        raise UsageError(f"{problem}: invalid ulimit argument: {text}")
    if name not in _NAMES.split():
        raise UsageError(f"{problem}: invalid ulimit type: {name}", hint=f"types: {_NAMES}")
    numbers = values.split(":")
    if len(numbers) > 2:
        raise UsageError(
            f"{problem}: too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        )
    try:
        soft, hard = int(numbers[0]), int(numbers[-1])
    except ValueError as error:
        raise UsageError(f"{problem}: {values} is not a number", hint="-1 means unlimited") from error
    if min(soft, hard) < -1 or max(soft, hard) >= 2**63:
        raise UsageError(f"{problem}: {values} is out of range", hint="-1 means unlimited")
    if hard != -1 and (soft == -1 or soft > hard):
        shown = "soft: -1 (unlimited), hard: " if soft == -1 else f"{soft} > "
        raise UsageError(f"{problem}: ulimit soft limit must be less than or equal to hard limit: {shown}{hard}")
    return _limit(f"RLIMIT_{name.upper()}", _value(hard), _value(soft))


def _value(number: int) -> int:
    return UNLIMITED if number == -1 else number


def _limit(name: str, hard: int, soft: int | None = None) -> JsonObject:
    return {"type": name, "hard": hard, "soft": hard if soft is None else soft}
