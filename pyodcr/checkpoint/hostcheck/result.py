"""The answer to one question about the host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, with a restriction that the detail tells
    MISSING = "missing"  # not installed; the detail tells what does not work without it
    FAILED = "failed"  # containers cannot run, or cannot be checkpointed and restored


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` is what is there (a version, a path, a state); ``hint`` says how to mend what is not in order."""

    status: Status
    found: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding under the name of its check; names are stable, for scripts."""

    name: str
    status: Status
    found: str
    detail: str
    hint: str


def ok(found: str, detail: str = "") -> Finding:
    return Finding(Status.OK, found, detail, "")


def warning(found: str, detail: str, hint: str) -> Finding:
    return Finding(Status.WARNING, found, detail, hint)


def missing(detail: str, hint: str) -> Finding:
    return Finding(Status.MISSING, "", detail, hint)


def failed(found: str, detail: str, hint: str) -> Finding:
    return Finding(Status.FAILED, found, detail, hint)
