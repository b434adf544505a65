"""Control groups as files, on cgroup v2, v1 and the hybrid of both.

A cgroup is named by its path below each hierarchy's root (``/pyodcr/ID``): the container runtimes use the
same path in every hierarchy. All of it is idempotent: what is gone is fine.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pyodcr.linux import files, mounts

KILL_ATTEMPTS = 100
KILL_PAUSE_S = 0.02


class Layout(StrEnum):
    V1 = "v1"
    HYBRID = "hybrid"  # v1 controllers, and a v2 hierarchy without any mounted beside them
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    root: Path
    controllers: frozenset[str]
    unified: bool


@cache
def hierarchies() -> tuple[Hierarchy, ...]:
    found: dict[Path, Hierarchy] = {}
    for mount in mounts.table():
        if mount.fstype == "cgroup2":
            found[mount.target] = Hierarchy(mount.target, frozenset(), unified=True)
        elif mount.fstype == "cgroup":
            found[mount.target] = Hierarchy(mount.target, frozenset(mount.options.split(",")), unified=False)
    return tuple(found.values())


def layout() -> Layout:
    unified = any(hierarchy.unified for hierarchy in hierarchies())
    legacy = any(not hierarchy.unified for hierarchy in hierarchies())
    if unified and legacy:
        return Layout.HYBRID
    return Layout.V2 if unified else Layout.V1


def _places(cgroup: str) -> Iterator[tuple[Hierarchy, Path]]:
    for hierarchy in hierarchies():
        place = hierarchy.root / cgroup.lstrip("/")
        if place != hierarchy.root and place.is_dir():
            yield hierarchy, place


def processes(cgroup: str) -> frozenset[int]:
    """Every process in the cgroup or below it, in any hierarchy, that has a pid here.

    The kernel lists one of a foreign pid namespace as 0, which kill(2) takes for our own process group (cgroups(7)).
    """
    pids: set[int] = set()
    for _, place in _places(cgroup):
        for directory, _, _ in os.walk(place):
            with suppress(OSError):
                pids.update(int(line) for line in Path(directory, "cgroup.procs").read_text().split())
    return frozenset(pids - {0, 1})


@dataclass(frozen=True, slots=True)
class Freezer:
    """The file that stops and starts all processes of a cgroup, and the words it takes."""

    file: Path
    frozen: str
    thawed: str


def freezer(cgroup: str) -> Freezer | None:
    """None where the cgroup is gone."""
    for hierarchy, place in _places(cgroup):
        if "freezer" in hierarchy.controllers:
            return Freezer(place / "freezer.state", "FROZEN", "THAWED")
        if hierarchy.unified and (place / "cgroup.freeze").exists():
            return Freezer(place / "cgroup.freeze", "1", "0")
    return None


def is_frozen(cgroup: str) -> bool:
    """Whether it is frozen, or about to be."""
    found = freezer(cgroup)
    if found is None:
        return False
    with suppress(OSError):
        return found.file.read_text().strip() in (found.frozen, "FREEZING")
    return False


def freeze(cgroup: str) -> bool:
    """Stop every process of the cgroup; False if one has not stopped after two seconds (it waits for a device)."""
    found = freezer(cgroup)
    if found is None:
        return True
    for _ in range(KILL_ATTEMPTS):
        try:
            found.file.write_text(found.frozen)
            if _stands_still(found):
                return True
        except FileNotFoundError:
            return True
        except OSError as error:
            raise files.failed("write", found.file, error) from error
        time.sleep(KILL_PAUSE_S)
    return False


def _stands_still(freezer: Freezer) -> bool:
    """v1 tells it in the file itself, v2 in cgroup.events (Documentation/admin-guide/cgroup-v2.rst)."""
    if freezer.file.name == "cgroup.freeze":
        return "frozen 1" in freezer.file.with_name("cgroup.events").read_text().splitlines()
    return freezer.file.read_text().strip() == freezer.frozen


def thaw(cgroup: str) -> None:
    found = freezer(cgroup)
    if found is not None:
        with suppress(OSError):
            found.file.write_text(found.thawed)


def kill(cgroup: str) -> bool:
    """SIGKILL every process of the cgroup until none is left; False when some would not die (state D)."""
    own = os.getpid()
    for _ in range(KILL_ATTEMPTS):
        pids = processes(cgroup) - {own}
        if not pids:
            return True
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        thaw(cgroup)  # a frozen process dies only when it is thawed (v1)
        time.sleep(KILL_PAUSE_S)
    return False


def remove(cgroup: str) -> None:
    """Remove the empty cgroup and what is below it, in every hierarchy."""
    for _, place in _places(cgroup):
        for directory, _, _ in os.walk(place, topdown=False):
            with suppress(OSError):
                os.rmdir(directory)


def memory_bytes(cgroup: str) -> int | None:
    """Memory the cgroup is charged for, page cache included; None where no memory controller counts it."""
    for hierarchy, place in _places(cgroup):
        name = "memory.current" if hierarchy.unified else "memory.usage_in_bytes"
        if hierarchy.unified or "memory" in hierarchy.controllers:
            with suppress(OSError, ValueError):
                return int((place / name).read_text())
    return None


def adopt(pid: int, cgroup: str) -> None:
    """Move a process into ``cgroup`` where the service manager keeps track of it (v2, or v1's name=systemd).

    A monitor left in the cgroup of a login session or a unit would die with it. Where a cgroup cannot be made
    (no delegation), the process stays where it is.
    """
    for hierarchy in hierarchies():
        if hierarchy.unified or "name=systemd" in hierarchy.controllers:
            place = hierarchy.root / cgroup.lstrip("/")
            with suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)
                (place / "cgroup.procs").write_text(str(pid))
