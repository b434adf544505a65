"""Signals by number or name, as `--stop-signal` and `kill --signal` take them."""

from __future__ import annotations

import re
import signal

from pyodcr.errors import UsageError

# what the kernel calls real-time signals 32 and 33, the C library keeps for its threads
_RTMIN, _RTMAX = 34, 64
_REALTIME = re.compile(r"RT(MIN|MAX)([+-][0-9]{1,2})?\Z")


def parse(text: str) -> int:
    """``15``, ``TERM``, ``sigterm``, ``SIGRTMIN+3``; a leading dash is forgiven, as Podman does."""
    word = text.removeprefix("-").upper()
    if word.isdecimal():
        if len(word) > 2 or not 1 <= int(word) <= _RTMAX:
            raise UsageError("valid signals are 1 through 64", hint=f"{text} is not one")
        return int(word)
    word = word.removeprefix("SIG")
    realtime = _REALTIME.match(word)
    if realtime is not None:
        number = (_RTMIN if realtime[1] == "MIN" else _RTMAX) + int(realtime[2] or 0)
        if _RTMIN <= number <= _RTMAX:
            return number
    found = signal.Signals.__members__.get(f"SIG{word}")
    if found is None:
        raise UsageError(f"invalid signal: {text}", hint="a number or a name, TERM or SIGTERM; `kill -l` lists them")
    return int(found)


def name(number: int) -> str:
    """``SIGTERM``; the number itself where it has no name."""
    if number in signal.Signals.__members__.values():
        return signal.Signals(number).name
    return f"SIGRTMIN+{number - _RTMIN}" if _RTMIN < number < _RTMAX else str(number)
