"""operations: which checkpoints and restores are open, and what would be done about those that nobody will finish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyodcr.lifecycle import recovery
from pyodcr.lifecycle.operations import ABANDONED_IMPORT, Operation, Step, plan

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


@dataclass(frozen=True, slots=True)
class Unfinished:
    """``container`` is a name, empty for an import that has not made its container; ``steps`` what a recovery does."""

    operation: Operation
    container: str
    owner_lives: bool
    steps: tuple[Step, ...]


def unfinished(ctx: Context) -> tuple[Unfinished, ...]:
    """All that is open, oldest first. Takes no lock, waits for nothing, and changes nothing."""
    return tuple(_described(ctx, operation) for operation in ctx.db.operations())


def _described(ctx: Context, operation: Operation) -> Unfinished:
    lives = operation.owner_lives
    if not ctx.db.exists(operation.container):
        return Unfinished(operation, "", lives, () if lives else ABANDONED_IMPORT)
    container = ctx.db.get(operation.container)
    steps = () if lives else plan(operation, recovery.observe(ctx, container, operation, patience_s=0.0))
    return Unfinished(operation, container.name, lives, steps)
