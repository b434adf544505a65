"""The operation row: who is in the middle of a checkpoint or restore, and how far.

Such an operation lasts seconds or minutes, so it is not a held lock but a row in the database:
``ps`` and ``inspect`` read past it, other verbs answer *busy*, and a row whose owner is dead is
recovered by the next verb on that container. The row is written before the act it announces, so
whatever kills the owner, what it had made is known: the network lock's kind, the staging directory,
the upload to abort.

:func:`plan` decides what is left to undo, purely; :mod:`pyodcr.lifecycle.recovery` does it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pyodcr import jsonio
from pyodcr.jsonio import key
from pyodcr.linux import boot


class Kind(StrEnum):
    CHECKPOINT = "checkpoint"
    RESTORE = "restore"


class Stage(StrEnum):
    """How far an operation came; each is recorded before its act begins."""

    PREPARING = "preparing"
    DUMPING = "dumping"  # the runtime and CRIU were started
    HOLDING = "holding"  # dumped; stopped at the hook until the archive is whole
    COMMITTED = "committed"  # the archive is whole and recorded: the container may go
    RESTORING = "restoring"  # conmon --restore was started
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: str
    container: str
    kind: Kind = key("kind")
    stage: Stage = key("stage")
    owner_pid: int = key("ownerPid")
    owner_started: int = key("ownerStarted")  # clock ticks since boot: with the pid, one process for ever
    boot_id: str = key("bootId")
    started_at: datetime | None = key("startedAt", None)
    leave_running: bool = key("leaveRunning", False)
    criu_pid: int = key("criuPid", 0)
    criu_started: int = key("criuStarted", 0)
    images: str = key("images", "")  # where CRIU writes or reads
    archive: str = key("archive", "")
    upload: Mapping[str, str] = key("upload", factory=dict)  # what aborts an unfinished upload
    new_volumes: tuple[str, ...] = key("newVolumes", ())  # made by an import, removed with it
    keep: bool = key("keep", False)  # a restore that does not use up its checkpoint
    imported: bool = key("imported", False)  # a container made by this restore: removed if it fails
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def owner_lives(self) -> bool:
        return self.boot_id == boot.boot_id() and boot.is_alive(self.owner_pid, self.owner_started)

    def disowned(self) -> Operation:
        """The same, left to be recovered though its owner lives."""
        return replace(self, owner_pid=0, owner_started=boot.GONE)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the kernel says of a container whose operation has lost its owner."""

    init_alive: bool
    criu_alive: bool
    images_complete: bool  # CRIU writes inventory.img last
    restored: bool = False  # it came back, though nobody recorded it
    ended_by_itself: bool = False  # as conmon saw it: not by SIGKILL, which is how CRIU ends a container


class Step(StrEnum):
    """What a recovery does, in the order of :func:`plan`."""

    KILL_CRIU = "kill-criu"  # it did not give up by itself, though nobody answers its hook any more
    FREEZE = "freeze"  # until the rest is mended: an application must not see it
    UNLOCK_NETWORK = "unlock-network"  # CRIU's chain or table drops every packet
    END_TCP_REPAIR = "end-tcp-repair"  # sockets in that mode fail
    THAW = "thaw"
    ADOPT_RESTORED = "adopt-restored"  # it runs, and its files move on: say so
    USE_UP = "use-up"  # the images of a restore that succeeded
    DISCARD_RESTORE = "discard-restore"  # half a process tree: kill it, unmount, delete
    RECORD_CHECKPOINT = "record-checkpoint"  # the container is gone, its archive or its images are whole: say so
    ABORT_UPLOAD = "abort-upload"
    REMOVE_STAGING = "remove-staging"
    REMOVE_CONTAINER = "remove-container"  # an import that never came to life
    CLOSE = "close"


# What a CRIU that was killed has left on a container that lives. One that gave up left nothing of it: then it is
# a moment's pause.
LET_RUN = (Step.FREEZE, Step.UNLOCK_NETWORK, Step.END_TCP_REPAIR, Step.THAW)


# Of an import that had not made its container yet, or whose container is gone.
ABANDONED_IMPORT = (Step.ABORT_UPLOAD, Step.REMOVE_STAGING, Step.CLOSE)


def plan(operation: Operation, seen: Observation) -> tuple[Step, ...]:
    """The steps that bring a container whose operation was left alone to a true state."""
    steps: list[Step] = []
    if operation.kind is Kind.CHECKPOINT:
        if seen.criu_alive:
            steps.append(Step.KILL_CRIU)
        committed = operation.stage in (Stage.COMMITTED, Stage.FINISHING)
        # a CRIU that never shook hands has killed unasked; one that did was refused, and the end came later
        unasked = seen.images_complete and operation.criu_pid == 0
        if seen.init_alive:
            steps += LET_RUN
        elif not operation.leave_running and not seen.ended_by_itself and (committed or unasked):
            steps.append(Step.RECORD_CHECKPOINT)
        if not committed:
            steps.append(Step.ABORT_UPLOAD)
    elif operation.stage is Stage.FINISHING:
        steps += [Step.UNLOCK_NETWORK, Step.USE_UP]
    elif operation.stage is Stage.RESTORING and seen.restored:
        steps += [Step.ADOPT_RESTORED, Step.UNLOCK_NETWORK, Step.USE_UP]
    else:
        steps.append(Step.DISCARD_RESTORE)
        if operation.imported:
            steps.append(Step.REMOVE_CONTAINER)
    return (*steps, Step.REMOVE_STAGING, Step.CLOSE)


def opened(kind: Kind, container_id: str, **details: Any) -> Operation:
    """A new operation of this process, not yet recorded."""
    return _opened(os.urandom(8).hex(), kind, container_id, **details)


def opened_import() -> Operation:
    """A new import; it stands for the container it will make until that is known."""
    operation_id = os.urandom(8).hex()
    return _opened(operation_id, Kind.RESTORE, f"import {operation_id}", imported=True)


def _opened(operation_id: str, kind: Kind, container_id: str, **details: Any) -> Operation:
    return Operation(
        id=operation_id,
        container=container_id,
        kind=kind,
        stage=Stage.PREPARING,
        owner_pid=os.getpid(),
        owner_started=boot.own_start_time(),
        boot_id=boot.boot_id(),
        started_at=jsonio.now(),
        **details,
    )
