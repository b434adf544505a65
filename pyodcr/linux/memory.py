"""How much memory may still be used: the host's, and what the limits of our own control groups leave of it.

cgroups(7); the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyodcr.linux import mounts
from pyodcr.linux.mounts import Mount

_UNLIMITED = 1 << 60  # v1 says it by a number near 2**63


@dataclass(frozen=True, slots=True)
class Limit:
    """A control group that bounds our memory. What the kernel would reclaim at once counts as free."""

    cgroup: Path
    free_bytes: int


def host() -> Mapping[str, int]:
    """/proc/meminfo in bytes: ``MemTotal``, ``MemAvailable``..."""
    found = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        number, *unit = value.split()
        found[name] = int(number) * (1024 if unit else 1)
    return found


def limits() -> tuple[Limit, ...]:
    """Every limit on this process' memory, from its own control group up to the root, of v1 and v2."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    found = (_limit(place, unified=unified) for place, unified in places(own, mounts.table()))
    return tuple(limit for limit in found if limit is not None)


def places(own: Iterable[str], table: Iterable[Mount]) -> Iterator[tuple[Path, bool]]:
    """The directories of all control groups that may bound our memory, innermost first, and whether each is of v2.

    ``own`` is /proc/self/cgroup, ``table`` the mounts. A mount may begin below the hierarchy's root (containers).
    """
    lines = [line.split(":", 2) for line in own]
    for mount in table:
        unified = mount.fstype == "cgroup2"
        if not unified and not (mount.fstype == "cgroup" and "memory" in mount.options.split(",")):
            continue
        for number, controllers, path in lines:
            if (number == "0") if unified else ("memory" in controllers.split(",")):
                with suppress(ValueError):  # we are not below this mount
                    inside = PurePosixPath(path).relative_to(mount.root)
                    place = mount.target / inside
                    for directory in (place, *place.parents):
                        yield directory, unified
                        if directory == mount.target:
                            break


def _limit(place: Path, *, unified: bool) -> Limit | None:
    try:
        if unified:
            bounds = [_number(place / name) for name in ("memory.max", "memory.high")]
            used, cache = "memory.current", "inactive_file"
        else:
            bounds = [_number(place / "memory.limit_in_bytes")]
            used, cache = "memory.usage_in_bytes", "total_inactive_file"
        bound = min(bounds)
        if bound >= _UNLIMITED:
            return None
        return Limit(place, max(0, bound - _number(place / used) + _statistic(place, cache)))
    except (OSError, ValueError):
        return None  # the hierarchy's root has no such files


def _number(path: Path) -> int:
    text = path.read_text(encoding="ascii").strip()
    return _UNLIMITED if text == "max" else int(text)


def _statistic(place: Path, name: str) -> int:
    for line in (place / "memory.stat").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
