"""A checkpoint or restore of this process while it is open: its row in the database, and its staging directory."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pyodcr.errors import PyodcrError
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.operations import Operation, Stage
from pyodcr.lifecycle.ops.cleanup import cleanup
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)


class Undertaking:
    """The recorded ``operation``; leaving the block removes its staging directory and closes the row.

    Not so while ``settled`` is False, that is from an act whose outcome may outlive this process until that
    outcome is recorded: then both are left for the next verb, which recovers as if this process had been killed.
    So it does where they cannot be removed; the error that ended the block is the one to be told.
    """

    def __init__(self, ctx: Context, operation: Operation) -> None:
        self.operation = operation
        self.settled = True
        self._ctx = ctx

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.settled:
            return
        try:
            self._close()
        except PyodcrError as failure:
            if error is None:
                raise
            log.warning("the %s left something behind: %s", self.operation.kind, failure.message)

    def _close(self) -> None:
        files.remove_tree(self.staging)
        self._ctx.db.remove_operation(self.operation)
        cleanup(self._ctx, self.operation.container)  # conmon's exit command found us busy, if it came meanwhile

    @property
    def staging(self) -> Path:
        return self._ctx.paths.staging(self.operation.id)

    def record(self, stage: Stage, **details: Any) -> None:
        self.operation = replace(self.operation, stage=stage, **details)
        self._ctx.db.put_operation(self.operation)

    def adopt(self, container: Container, **details: Any) -> Container:
        """Record a new container, which exists from now on as long as this operation does, or succeeds."""
        operation = replace(self.operation, container=container.id, **details)
        added = self._ctx.db.add(container, "create", operation)
        self.operation, self.settled = operation, False
        return added
