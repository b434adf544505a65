"""Archives taken apart and put together again, as somebody else might have made them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "pyodcr.json"

Entries = dict[str, bytes | None]  # None: a directory


def unpacked(archive: Path) -> Entries:
    """Every entry of an archive, in its order."""
    plain = subprocess.run(["zstd", "-dcf", archive], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        found: Entries = {}
        for member in tar:
            stream = tar.extractfile(member)
            found[member.name] = stream.read() if stream is not None else None
        return found


def podmans(archive: Path, target: Path, change: Callable[[Entries], object] = lambda _: None) -> Path:
    """The archive as Podman writes one, without hashes that ``change`` could break; whatever it claims stands."""
    entries = unpacked(archive)
    entries.pop(MANIFEST, None)
    change(entries)
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(member)
            else:
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))
    return target


def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Entries], None]:
    """A change of one JSON document."""

    def apply(entries: Entries) -> None:
        document: dict[str, Any] = json.loads(entries[name] or b"")
        change(document)
        entries[name] = json.dumps(document).encode()

    return apply


def settings(**values: Any) -> Callable[[Entries], None]:
    """A change of config.dump's keys."""
    return edit("config.dump", lambda config: config.update(values))
