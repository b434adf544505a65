"""A session's own cgroup in every hierarchy of the machine, and the view of it from inside.

The session becomes the root of a cgroup namespace: whatever the containers inside create lies below one directory per
hierarchy, so it can be removed when they are gone, and one session cannot see another's. In cgroup v2 the session's
processes sit in a leaf below that root: a cgroup that hands controllers on may hold no process itself, and on a hybrid
machine a restore by crun copies the cgroup2 tree around its caller.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import syscalls as sc

MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy: where it is, which controllers it has (v1; empty for v2), where this process is in it."""

    mount: Path
    controllers: str
    own: Path

    @property
    def is_v2(self) -> bool:
        return self.controllers == ""


def parse_hierarchies(cgroup: str, mountinfo: str) -> list[Hierarchy]:
    """Join /proc/self/cgroup (id:controllers:path) with /proc/self/mountinfo, proc_pid_mountinfo(5)."""
    paths = {
        fields[1]: fields[2] for fields in (line.split(":", 2) for line in cgroup.splitlines()) if len(fields) == 3
    }
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        mount_root, mount_point = left.split(" ")[3:5]
        if kind == "cgroup2":
            controllers = ""
        elif kind == "cgroup":
            offered = set(options.split(","))
            controllers = next((names for names in paths if names and set(names.split(",")) <= offered), "")
            if not controllers:
                continue
        else:
            continue
        path = paths.get(controllers, "/")
        below = path[len(mount_root) :] if path.startswith(mount_root) else path
        found.setdefault(controllers, Hierarchy(Path(mount_point), controllers, Path(mount_point, below.strip("/"))))
    return list(found.values())


def hierarchies() -> list[Hierarchy]:
    """The hierarchies mounted on this machine."""
    return parse_hierarchies(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())


def plan(session: str, mounted: list[Hierarchy]) -> list[tuple[Hierarchy, Path]]:
    """Where the session's cgroup goes in each hierarchy: below the caller's own, so its limits go on to hold.

    Not on a machine with cgroup v2 alone: there the caller's cgroup holds processes and could hand on no controller.
    """
    only_v2 = all(hierarchy.is_v2 for hierarchy in mounted)
    return [(each, (each.mount if only_v2 else each.own) / f"pyodcr-testhost-{session}") for each in mounted]


def reveal_v2(mounted: list[Hierarchy], at: Path) -> list[Hierarchy]:
    """The hierarchies, and the v2 one that :func:`mount_view` has left out, mounted for this process and its children.

    A host beside the first one needs a leaf of its own there: else its containers' cgroups lie below it, every dump
    takes them for the container's, and every restore makes them all once more.
    """
    if any(hierarchy.is_v2 for hierarchy in mounted):
        return mounted
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("none", Path("/"), flags=sc.MS_SLAVE | sc.MS_REC)
    sc.mount("cgroup2", at, "cgroup2", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    return [*mounted, Hierarchy(at, "", at)]


def members(planned: list[tuple[Hierarchy, Path]]) -> list[Path]:
    """The cgroups in which the session's own processes sit."""
    return [path / "init" if hierarchy.is_v2 else path for hierarchy, path in planned]


def create(planned: list[tuple[Hierarchy, Path]]) -> None:
    """Make the session's cgroups. A cpuset is born empty and would take no process."""
    for hierarchy, path in planned:
        path.mkdir(exist_ok=True)
        if "cpuset" in hierarchy.controllers.split(","):
            for name in ("cpuset.cpus", "cpuset.mems"):
                (path / name).write_text((path.parent / name).read_text())


def join(planned: list[tuple[Hierarchy, Path]]) -> None:
    """Move the calling process into the session's cgroups and make them the root of its cgroup namespace."""
    for _, path in planned:
        (path / "cgroup.procs").write_text("0")
    sc.unshare(sc.CLONE_NEWCGROUP)
    for (hierarchy, path), leaf in zip(planned, members(planned), strict=True):
        if hierarchy.is_v2:
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text("0")
            for controller in (path / "cgroup.controllers").read_text().split():
                with suppress(OSError):  # one that cannot be handed on is missed by the test that needs it
                    (path / "cgroup.subtree_control").write_text(f"+{controller}")


def mount_view(planned: list[tuple[Hierarchy, Path]], target: Path) -> None:
    """Mount the namespace's hierarchies on `target` as the machine lays them out, except cgroup2 beside v1.

    crun refuses that hybrid layout; runc and crun both take the rest for a v1 machine.
    """
    if all(hierarchy.is_v2 for hierarchy, _ in planned):
        sc.mount("cgroup2", target, "cgroup2", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
        return
    sc.mount("tmpfs", target, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, "mode=755")
    for hierarchy, _ in planned:
        if hierarchy.is_v2:
            continue
        at = target / hierarchy.mount.name
        at.mkdir()
        named = hierarchy.controllers.startswith("name=")
        options = f"none,{hierarchy.controllers}" if named else hierarchy.controllers
        sc.mount("cgroup", at, "cgroup", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, options)
    for link in MOUNT.iterdir():
        if link.is_symlink():  # such as cpu -> cpu,cpuacct
            (target / link.name).symlink_to(os.readlink(link))


def thaw(top: Path) -> None:
    """Let go everything that is frozen below `top`: the v1 freezer holds even a process that is being killed."""
    for directory, _, names in os.walk(top):
        for name, state in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if name in names:
                with suppress(OSError):
                    Path(directory, name).write_text(state)


def remove(tops: list[Path], *, patience_s: float = 5) -> bool:
    """Remove the cgroups and all below, waiting for processes on their way out. False when some are still there."""
    deadline_s = time.monotonic() + patience_s
    while True:
        for top in tops:  # all of them before the first is waited for: one hierarchy's freezer holds every hierarchy's
            thaw(top)
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)
        left = [top for top in tops if top.exists()]
        if not left or time.monotonic() > deadline_s:
            return not left
        time.sleep(0.02)
