"""The state machine: which verb may be applied in which state: libpod's rules, Podman's words."""

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
    EXEC = "exec"
    ATTACH = "attach"
    CHECKPOINT = "checkpoint"
    RESTORE = "restore"
    REMOVE = "remove"


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
}

# what Podman says of a refusal, so that what greps for it goes on working
REFUSALS: Mapping[Op, str] = {
    Op.START: "container {name} must be in Created or Stopped state to be started, it is {status}",
    Op.STOP: "can only stop created or running containers, {name} is in state {status}",
    Op.KILL: "can only kill running containers. {name} is in state {status}",
    Op.PAUSE: '"{status}" is not running, can\'t pause container {name}',
    Op.UNPAUSE: '"{name}" is not paused, can\'t unpause',
    Op.RESTART: "unable to restart a container in a paused or unknown state: {name} is {status}",
    Op.EXEC: "can only create exec sessions on running containers: {name} is {status}",
    Op.ATTACH: "you can only attach to running containers: {name} is {status}",
    Op.CHECKPOINT: '"{status}" is not running, cannot checkpoint container {name}',
    Op.RESTORE: "container {name} is running or paused, cannot restore",
    Op.REMOVE: "cannot remove container {name} as it is {status} - "
    "running or paused containers cannot be removed without force",
}
ALREADY_PAUSED = '"{name}" is already paused'

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
        words = ALREADY_PAUSED if op is Op.PAUSE and container.status is Status.PAUSED else REFUSALS[op]
        said = words.format(name=container.name, status=container.status)
        raise WrongState(
            f"{said}: container state improper",
            hint=HINTS.get((op, container.status)),
            container=container.id,
            state=str(container.status),
        )
