"""cancel: end another process' checkpoint or restore of a container, for somebody who insists."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

from pyodcr.linux import pidfd

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

ASKED_WAIT_S = 10.0
KILLED_WAIT_S = 10.0


def cancel(ctx: Context, ref: str) -> None:
    """Make the owner of an open operation on the container give it up.

    It is asked by SIGTERM, which it takes for a refusal; one that does not end, for CRIU takes its time or a
    destination hangs, is killed. Its guard, or whoever locks the container next, makes the container's state true.
    A checkpoint that is just being committed completes all the same.
    """
    container = ctx.find(ref)
    operation = ctx.db.operation(container.id)
    if operation is None or not operation.owner_lives or operation.owner_pid == os.getpid():
        return
    owner = (operation.owner_pid, operation.owner_started)
    log.info("ending process %d: its %s of container %s is cancelled", owner[0], operation.kind, container.name)
    pidfd.send(*owner, signal.SIGTERM)
    if not pidfd.wait(*owner, ASKED_WAIT_S):
        pidfd.send(*owner, signal.SIGKILL)
        pidfd.wait(*owner, KILLED_WAIT_S)
