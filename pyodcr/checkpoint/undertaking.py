"""A checkpoint or restore of this process while it is open: its row, its staging directory, and its guard."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pyodcr import process
from pyodcr.checkpoint import guard
from pyodcr.errors import PyodcrError
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.operations import Operation, Stage
from pyodcr.lifecycle.ops.cleanup import cleanup
from pyodcr.linux import cgroups, files, mounts

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)


class Undertaking:
    """The recorded ``operation``; leaving the block removes its staging directory and closes the row.

    Not so while ``settled`` is False, that is from an act whose outcome may outlive this process until that
    outcome is recorded: then both are left to the :mod:`.guard`, which recovers as if this process had been killed.
    So it does where they cannot be removed; the error that ended the block is the one to be told.
    """

    def __init__(self, ctx: Context, operation: Operation) -> None:
        self.operation = operation
        self.settled = True
        self._ctx = ctx
        self._closed = False
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = self._ctx.config.command_line("container", "recover", self.operation.id)
        self._guard = process.companion([sys.executable, "-I", "-S", "-E", guard.__file__, *command])
        # in the cgroup of a service or a login session it would end with what it is to outlive
        cgroups.adopt(self._guard.pid, f"{self._ctx.config.cgroup_parent}/conmon")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._put_down(error)
            if self.settled:
                self._close()
        except PyodcrError as failure:
            if error is None:
                raise
            log.warning("the %s left something behind: %s", self.operation.kind, failure.message)
        finally:
            self._dismiss()

    def _put_down(self, error: BaseException | None) -> None:
        """An upload that could not be aborted now is `system prune`'s to abort."""
        unfinished = error.details.get("unfinished") if isinstance(error, PyodcrError) else None
        if isinstance(unfinished, dict):
            self._ctx.db.keep_upload(unfinished)

    def _close(self) -> None:
        mounts.unmount_below(self.staging)
        files.remove_tree(self.staging)
        self._ctx.db.remove_operation(self.operation)
        self._closed = True
        cleanup(self._ctx, self.operation.container)  # conmon's exit command found us busy, if it came meanwhile

    def _dismiss(self) -> None:
        """Let the guard go, or let it do what is left; either way wait for it, unless it waits for our own end."""
        try:
            if not self._closed:
                self._ctx.db.put_operation(self.operation.disowned())
        except PyodcrError as failure:
            log.warning("the %s is recovered when this process has ended: %s", self.operation.kind, failure.message)
            return
        if self._guard is not None:
            with suppress(BrokenPipeError):  # it was killed
                self._guard.communicate(guard.SETTLED if self._closed else b"")

    @property
    def staging(self) -> Path:
        return self._ctx.paths.staging(self.operation.id)

    def record(self, stage: Stage, **details: Any) -> None:
        self.operation = replace(self.operation, stage=stage, **details)
        self._ctx.db.put_operation(self.operation)
        log.debug("the %s is %s", self.operation.kind, stage)

    def adopt(self, container: Container, **details: Any) -> Container:
        """Record a new container, which exists from now on as long as this operation does, or succeeds."""
        operation = replace(self.operation, container=container.id, **details)
        added = self._ctx.db.add(container, "create", operation)
        self.operation, self.settled = operation, False
        return added
