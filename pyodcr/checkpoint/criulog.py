"""What a CRIU log (``dump.log``, ``restore.log``) says went wrong: one cause, one hint, and the lines that show it.

A line is ``(00.034502)      7: Error (criu/mount.c:966): mnt: Failed to ...``: time, the pid inside the restored tree
(in a restore's children only), level, place, message. From inside a dumped process it is ``pie: 22: Error (...): ...``,
and tools that CRIU starts (iptables-restore, our hook) write theirs between. The first error is often harmless and
the last a formula, so the line nearest to the end that :mod:`.criusignatures` knows is taken for the cause, and else
the last error that is not known for noise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyodcr.checkpoint.criusignatures import NOISE, SIGNATURES, Signature
from pyodcr.errors import CriuFailed

Action = Literal["dump", "restore"]

TAIL_BYTES = 4 << 20  # a dump of thousands of files logs more; what it died of stands at the end
KEPT_LINES = 12
KEPT_CHARS = 400

_LINE = re.compile(r"(?:\([\d.]+\)\s*)?(?:pie: )?(?:\d+: )?(?P<level>Error|Warn) +\([^)]*\): (?P<message>.*)")
_INFORMATION = re.compile(r"\([\d.]+\)")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why CRIU failed. ``lines`` are the last error lines of the log, ready to be shown."""

    cause: str
    hint: str
    code: str
    lines: tuple[str, ...]


def diagnose(log: Path) -> Diagnosis:
    """Classify a log; one that is not there, or empty, is a diagnosis too."""
    try:
        text = _tail(log)
    except OSError as error:
        return Diagnosis(f"there is no log: {(error.strerror or str(error)).lower()}", "", "criu-no-log", ())
    return classify(text.splitlines())


def classify(lines: Iterable[str]) -> Diagnosis:
    """The diagnosis of a log's lines."""
    telling = [line for line in map(printable, lines) if _may_tell(line)]
    errors = tuple(line for line in telling if "Error" in line)[-KEPT_LINES:]
    found = _known(telling)
    if found is not None:
        signature, groups = found
        return Diagnosis(signature.cause.format(**groups), signature.hint.format(**groups), signature.code, errors)
    for line in reversed(telling):
        message = _message(line)
        if "Error" in line and not any(re.search(pattern, message) for pattern in NOISE):
            return Diagnosis(message, "", "criu-failed", errors)
    return Diagnosis("its log names no error", "", "criu-failed", errors)


def to_error(log: Path, *, action: Action, container: str, said: str = "") -> CriuFailed:
    """The error of a failed dump or restore. ``said`` is the runtime's own last word, for want of a log."""
    found = diagnose(log)
    cause = said if said and found.code == "criu-no-log" else found.cause
    return CriuFailed(
        f"criu cannot {action} container {container}: {cause}",
        code=found.code,
        hint=found.hint or None,
        log=str(log),
        lines=list(found.lines),
    )


def printable(text: str) -> str:
    """Names that a container chose, in logs and in /proc, must bring no escape sequence to a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text.rstrip()[:KEPT_CHARS])


def _known(lines: list[str]) -> tuple[Signature, dict[str, str]] | None:
    consequence = None
    for line in reversed(lines):
        for signature in SIGNATURES:
            match = re.search(signature.pattern, line)
            if match is None:
                continue
            if not signature.consequence:
                return signature, match.groupdict(default="")
            consequence = consequence or (signature, match.groupdict(default=""))
    return consequence


def _may_tell(line: str) -> bool:
    """Errors and warnings of CRIU, and all that other programs wrote; not its chatter."""
    return bool(line) and (_LINE.match(line) is not None or _INFORMATION.match(line) is None)


def _message(line: str) -> str:
    match = _LINE.match(line)
    return (match["message"] if match else line).strip()


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - TAIL_BYTES))
        text = stream.read(TAIL_BYTES).decode(errors="replace")
    return text if size <= TAIL_BYTES else text.partition("\n")[2]
