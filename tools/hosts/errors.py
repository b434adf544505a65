"""The one exception of the test host: what a person has to be told."""

from __future__ import annotations


class HostError(Exception):
    """One lower-case sentence, and optionally what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
