"""What a long storage verb tells while it works; who asked for it decides what to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Phase(StrEnum):
    COPY = "copy"  # blobs come from a registry or an archive
    UNPACK = "unpack"  # a layer is decompressed and written out
    WARNING = "warning"  # nothing moves; ``subject`` is the sentence to show


@dataclass(frozen=True, slots=True)
class Step:
    """How far ``subject`` (an image, a layer) is. ``total_bytes`` is 0 where nobody knows it."""

    phase: Phase
    subject: str
    done_bytes: int = 0
    total_bytes: int = 0


Progress: TypeAlias = Callable[[Step], None]


def silent(_: Step) -> None:
    """Nobody watches."""
