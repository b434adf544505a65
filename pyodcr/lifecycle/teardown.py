"""Undoing :mod:`.prepare`, from any half state, as often as one likes.

The order matters: what the runtime left mounted first (below it lies the root filesystem), then the
network, whose namespace the container may still hold, then our own mounts, innermost first.
"""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pyodcr.errors import NetworkFailed
from pyodcr.lifecycle import conmon, foreign
from pyodcr.lifecycle.models import Container, Status
from pyodcr.lifecycle.storage import overlay
from pyodcr.linux import cgroups, files, mounts, processes

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

log = logging.getLogger(__name__)

RESTORE_LOG = "restore.log"  # CRIU's, as long as it restores the container
ROOT_YARD = re.compile(r"/tmp/\.criu\.mntns\.\w{6}")  # criu/mount.c, a mkdtemp(3) template


def leave_runtime(ctx: Context, container: Container) -> None:
    """The runtime forgets the container; whatever is left of it in its cgroup is killed.

    crun answers 0 to ``delete --force`` and leaves a restored container running that it does not know,
    so the cgroup has the last word, not the runtime. A container of that ID which is somebody else's is left alone.
    """
    place, cgroup = ctx.place(container), ctx.cgroup(container)
    conmon.end(container.config, place)
    # with crun it is not in the container's cgroup, and when conmon and crun were killed nobody's child
    processes.kill_families(processes.having_open(place.bundle / RESTORE_LOG, "criu"))
    mounts.unmount_below(place.bundle / "criu-root")
    _unmount_cgroup_yards(container, ctx)
    if foreign.holds(ctx, container):
        return
    cgroups.kill(cgroup)
    ctx.runtime(container).delete(container.id)
    cgroups.kill(cgroup)
    cgroups.remove(cgroup)
    _unmount_root_yards()


def _unmount_cgroup_yards(container: Container, ctx: Context) -> None:
    # a killed CRIU leaves WORK/.criu.cgyard.*, a tmpfs with every controller mounted inside:
    # removing the bundle would walk into the live cgroup tree
    bundle = ctx.place(container).bundle
    for yard in bundle.glob(".criu.cgyard.*"):
        mounts.unmount_below(yard)
        files.remove_tree(yard)
    root = bundle / "criu-root"
    if root.exists():
        files.remove_tree(root)


def _unmount_root_yards() -> None:
    """A killed CRIU leaves the tmpfs in which it put mount trees together; its name tells no container.

    What is there while no CRIU lives is nobody's any more; else the next teardown looks again.
    """
    yards = {yard.target for yard in mounts.table() if ROOT_YARD.fullmatch(str(yard.target))}
    if yards and not processes.named("criu"):
        for yard in yards:
            mounts.unmount_below(yard)
            with suppress(OSError):
                yard.rmdir()


def release(ctx: Context, container: Container) -> None:
    """Network, volumes' overlays, /dev/shm and the root filesystem; mounts held by ``pyodcr mount`` stay."""
    place = ctx.place(container)
    with ExitStack() as steps:  # each is done, whatever the one before raised; the last one stands first
        steps.callback(files.remove_tree, place.run)
        steps.callback(files.remove_tree, place.overlays)
        steps.callback(files.remove_tree, place.exec_sessions)
        if container.state.mount_count == 0:
            steps.callback(overlay.unmount, place.layer)
        for below in (place.shm, place.overlays):
            steps.callback(mounts.unmount_below, below)
        steps.callback(_detach, ctx, container)


def _detach(ctx: Context, container: Container) -> None:
    try:
        ctx.networking.detach(container.config, ctx.place(container).netns, container.state.network_status)
    except NetworkFailed as error:
        # its record stays, and whatever attaches or detaches next tries again
        log.warning("the network of container %s is not all taken down: %s", container.name, error.message)


def teardown(ctx: Context, container: Container) -> Container:
    """All of it, and the state after it: exited where it had run, configured where it had not."""
    leave_runtime(ctx, container)
    release(ctx, container)
    for session in ctx.db.exec_sessions(container.id):
        ctx.db.remove_exec_session(session.id)
    status = Status.CONFIGURED if container.status in (Status.CONFIGURED, Status.CREATED) else Status.EXITED
    return ctx.db.record(
        container,
        "cleanup" if container.status is Status.STOPPED else "",
        status=status,
        pid=0,
        pid_started=0,
        conmon_pid=0,
        conmon_started=0,
        netns="",
        network_status=None,
        stopper_pid=0,
        stopper_started=0,
        mountpoint=container.state.mountpoint if container.state.mount_count else "",
    )


def settle(ctx: Context, container: Container) -> Container:
    """What follows the end of a container: clean up after it, and remove it if it was made with ``--rm``."""
    if container.status is Status.STOPPED:
        container = teardown(ctx, container)
    if container.status is Status.EXITED and container.config.auto_remove and not container.state.checkpointed:
        discard(ctx, container, volumes=True)
    return container


def discard(ctx: Context, container: Container, *, volumes: bool = False) -> None:
    """Remove a container that does not run. The lock is held; killed in between, the next ``rm`` goes on.

    ``volumes``: its anonymous ones go with it.
    """
    container = ctx.db.record(container, status=Status.REMOVING)
    place = ctx.place(container)
    leave_runtime(ctx, container)
    release(ctx, container)
    mounts.unmount_below(place.bundle)  # also what `pyodcr mount` holds
    files.remove_tree(place.bundle)
    files.remove_tree(place.persist)
    if volumes:
        ctx.volumes.remove_anonymous(container)
    files.remove(place.lock)  # before the row: killed in between, nobody would look for it any more
    ctx.db.remove(container)
