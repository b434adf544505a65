"""Linux capabilities: the default set, `--cap-add` and `--cap-drop`, and who in the container gets them.

Default set and rules are those of containers/common (``pkg/capabilities``); names as capabilities(7).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject

# by bit number, linux/capability.h
_BY_BIT = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
ALL = tuple(f"CAP_{name}" for name in _BY_BIT.split())

DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)


def names_of(bits: int) -> tuple[str, ...]:
    """The sorted names of a capability mask (``CapBnd`` in /proc/PID/status); bits we have no name for are left out."""
    return tuple(sorted(name for bit, name in enumerate(ALL) if bits >> bit & 1))


def merge(base: Collection[str], add: Sequence[str], drop: Sequence[str], available: Collection[str]) -> list[str]:
    """``base`` changed by what is added and dropped, as far as it is ``available``; ``ALL`` is a name too."""
    added, dropped = _normalise(add), _normalise(drop)
    if "ALL" in added and "ALL" in dropped:
        raise UsageError("adding all caps and removing all caps not allowed")
    for name in sorted((added & dropped) - {"ALL"}):
        raise UsageError(f'capability "{name}" cannot be dropped and added')
    if "ALL" in dropped:
        wanted = added
    elif "ALL" in added:
        wanted = set(available) - dropped
    else:
        wanted = (set(base) - dropped) | added
    return sorted(wanted & set(available))


def of_process(
    add: Sequence[str], drop: Sequence[str], available: Collection[str], *, is_root: bool, privileged: bool
) -> JsonObject:
    """The OCI ``process.capabilities``.

    Root holds the whole set. Another user holds only what was added by name, and keeps it over exec
    (ambient); the rest is the bound of what a setuid program may gain.
    """
    bounding = sorted(available) if privileged else merge(DEFAULT, add, drop, available)
    held = bounding if is_root else [name for name in merge((), add, (), available) if name in bounding]
    kept = [] if is_root else held
    return {"bounding": bounding, "effective": held, "permitted": held, "inheritable": kept, "ambient": kept}


def _normalise(names: Sequence[str]) -> set[str]:
    found = set()
    for name in names:
        upper = name.upper()
        if upper not in ("ALL", *ALL):
            upper = f"CAP_{upper}"
        if upper not in ("ALL", *ALL):
            raise UsageError(f'"{upper}": unknown capability', hint="names as in capabilities(7), with CAP_ or without")
        found.add(upper)
    return found
