"""``--tz``: a time zone's rules as a file of ours, so that the container's image need not have them."""

from __future__ import annotations

from pathlib import Path

from pyodcr.errors import NotFound
from pyodcr.linux import files, rooted

ZONES = Path("/usr/share/zoneinfo")
LOCAL = "local"  # Podman's word for the host's own
MAX_BYTES = 1 << 20


def write(timezone: str, target: Path) -> None:
    """Write the rules (tzfile(5)) of ``timezone``, a name below /usr/share/zoneinfo or ``local``, to ``target``.

    The name may come from an archive, so nothing outside of that directory is ever read by it.
    Raises :class:`NotFound` where this host has no such zone.
    """
    root, name = (Path("/"), "etc/localtime") if timezone == LOCAL else (ZONES, timezone)
    rules = rooted.read(root, name, limit_bytes=MAX_BYTES)
    if rules is None:
        raise NotFound(f"the time zone {timezone} is not on this host: there is no file {root / name}")
    files.write(target, rules, mode=0o644)
