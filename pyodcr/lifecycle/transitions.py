"""The state machine: which verb may be applied in which state (libpod's rules and words)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pyodcr.errors import WrongState
from pyodcr.lifecycle.models import Container, Status


class Op(StrEnum):
    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    RESTART = "restart"
    EXEC = "exec in"
    ATTACH = "attach to"
    CHECKPOINT = "checkpoint"
    RESTORE = "restore"
    REMOVE = "remove"
    CLEANUP = "clean up"


LIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPING})
STARTABLE = frozenset({Status.CONFIGURED, Status.CREATED, Status.STOPPED, Status.EXITED})

ALLOWED: Mapping[Op, frozenset[Status]] = {
    Op.START: STARTABLE,
    Op.STOP: frozenset({Status.CREATED, Status.RUNNING, Status.STOPPING}),
    Op.KILL: LIVE,
    Op.PAUSE: frozenset({Status.RUNNING}),
    Op.UNPAUSE: frozenset({Status.PAUSED}),
    Op.RESTART: STARTABLE | {Status.RUNNING},
    Op.EXEC: frozenset({Status.RUNNING}),
    Op.ATTACH: frozenset({Status.CREATED, Status.RUNNING}),
    Op.CHECKPOINT: frozenset({Status.RUNNING}),
    Op.RESTORE: frozenset({Status.CONFIGURED, Status.EXITED}),
    Op.REMOVE: STARTABLE | {Status.REMOVING},
    Op.CLEANUP: STARTABLE,
}

HINTS: Mapping[tuple[Op, Status], str] = {
    (Op.START, Status.PAUSED): "pyodcr unpause resumes it",
    (Op.STOP, Status.PAUSED): "unpause it first, or use pyodcr kill",
    (Op.CHECKPOINT, Status.PAUSED): "pyodcr unpause resumes it",
    (Op.RESTORE, Status.RUNNING): "stop it first, or restore a copy with --import and --name",
    (Op.REMOVE, Status.RUNNING): "stop it first, or use --force",
    (Op.REMOVE, Status.PAUSED): "unpause and stop it first, or use --force",
    (Op.EXEC, Status.PAUSED): "pyodcr unpause resumes it",
}


def require(op: Op, container: Container) -> None:
    """Raise :class:`WrongState` unless ``op`` may be applied to the container as it is."""
    if container.status not in ALLOWED[op]:
        raise WrongState(
            f"cannot {op} container {container.name}: it is {container.status}",
            hint=HINTS.get((op, container.status)),
            container=container.id,
            state=str(container.status),
        )
