"""`--sysctl`: only settings that a namespace of the container has for itself."""

from __future__ import annotations

from collections.abc import Sequence

from pyodcr.errors import UsageError

_IPC = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def namespace_of(name: str) -> str | None:
    """The namespace that keeps the setting, by its OCI name; None for one of the whole host."""
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    return "network" if name.startswith("net.") else None


def parse(settings: Sequence[str], *, host_ipc: bool, host_network: bool) -> dict[str, str]:
    """``KEY=VALUE`` words as a table; words of refusal are Podman's."""
    found: dict[str, str] = {}
    shared = {"ipc": ("IPC", host_ipc), "network": ("Network", host_network)}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text} is invalid, sysctl values must be in the form of KEY=VALUE")
        if name != name.strip() or value != value.strip():
            raise UsageError(f"'{text}' is invalid, extra spaces found")
        namespace = namespace_of(name)
        if namespace is None:
            raise UsageError(
                f"sysctl '{name}' is not allowed", hint="only net.*, fs.mqueue.* and SysV IPC settings are"
            )
        title, is_host = shared[namespace]
        if is_host:
            raise UsageError(f"sysctl {text} can't be set since {title} Namespace set to host")
        found[name] = value
    return found
