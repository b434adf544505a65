"""Sizes as users type them, by the rules and in the words of docker/go-units, which Podman uses."""

from __future__ import annotations

import re

from pyodcr.errors import UsageError

_NUMBER = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}) ?(.*)\Z", re.DOTALL)
_PREFIXES = "kmgtp"
MAX_BYTES = 2**63 - 1  # the kernel and the runtimes count in signed 64 bits


def binary(text: str, what: str) -> int:
    """Bytes of ``512``, ``1.5g``, ``64MiB``, ``10 kb``: each prefix is 1024 times the one before."""
    return _parse(text, what, 1024)


def decimal(text: str, what: str) -> int:
    """As :func:`binary` with prefixes of 1000, as ``--log-opt max-size`` has them."""
    return _parse(text, what, 1000)


def _parse(text: str, what: str, base: int) -> int:
    found = _NUMBER.match(text)
    if found is None:
        raise UsageError(f"invalid value for {what}: invalid size: '{text}'", hint="a number and b, k, m, g or t")
    number, suffix = found[1], found[2].lower()
    exponent = _PREFIXES.find(suffix[0]) + 1 if suffix else 0
    known = {"", "b"} if exponent == 0 else {suffix[0], f"{suffix[0]}b", f"{suffix[0]}ib"}
    if suffix not in known:
        raise UsageError(f"invalid value for {what}: invalid suffix: '{suffix}'", hint="use b, k, m, g or t")
    # a whole number is not sent through a float: 2^60 + 1 must stay what it is
    size = int(number) * base**exponent if number.isdecimal() else int(float(number) * base**exponent)
    if size > MAX_BYTES:
        raise UsageError(f"invalid value for {what}: {text} is too large")
    return size
