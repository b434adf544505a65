"""What may stand in a checkpoint archive, and under which name.

The list is libpod's ``exportCheckpoint`` (Podman 3 to 6) and our ``pyodcr.json``. It is an allow-list, and
it is flat: nothing that passes here can leave the directory it is extracted to, collide with another entry,
or be taken for something else.
"""

from __future__ import annotations

import re
from collections.abc import Container
from enum import StrEnum

from pyodcr.checkpoint.archive.invalid import foreign, hostile, malformed, shown

CONFIG_DUMP = "config.dump"
SPEC_DUMP = "spec.dump"
MANIFEST = "pyodcr.json"

CHECKPOINT = "checkpoint"
PRE_CHECKPOINT = "pre-checkpoint"
ARTIFACTS = "artifacts"
VOLUMES = "volumes"

PARENT_LINK = f"{CHECKPOINT}/parent"
PARENT_TARGET = f"../{PRE_CHECKPOINT}"

REQUIRED = (CONFIG_DUMP, SPEC_DUMP)
FILES = frozenset(
    {
        *REQUIRED,
        MANIFEST,
        "network.status",
        "stats-dump",
        "devshm-checkpoint.tar",
        "ctr.log",
        "rootfs-diff.tar",
        "deleted.files",
    }
)
DIRECTORIES = frozenset({CHECKPOINT, PRE_CHECKPOINT, ARTIFACTS, VOLUMES})

# CRI-O's and containerd's own files, and those of pod archives (checkpointctl's reserved names).
FOREIGN = frozenset(
    {
        "bind.mounts",
        "container.log",
        "dump.log",
        "io.kubernetes.cri-o.LogPath",
        "pod.dump",
        "pod.options",
        "restore.log",
        "status",
        "status.dump",
    }
)

# Podman's rule for the name of a volume.
_VOLUME_FILE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\.tar")
_MAX_COMPONENT_BYTES = 255  # NAME_MAX


class Kind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


def check(name: str, kind: Kind, target: str = "") -> None:
    """Refuse an entry that has no business in a checkpoint archive; ``target`` is that of a symlink."""
    _check_path(name)
    if kind is Kind.SYMLINK:
        if (name, target) != (PARENT_LINK, PARENT_TARGET):
            raise hostile(f"symlink {shown(name)} to {shown(target)}", entry=name)
        return
    if name == PARENT_LINK:
        raise malformed(f"{name} is not the symlink to {PARENT_TARGET}", entry=name)
    directory, _, leaf = name.rpartition("/")
    if name in DIRECTORIES or name in FILES:
        expected = Kind.DIRECTORY if name in DIRECTORIES else Kind.FILE
        if kind is not expected:
            raise malformed(f"{name} is a {kind}, not a {expected}", entry=name)
        return
    if name in FOREIGN:
        raise foreign(f"it holds {name}, so CRI-O or containerd made it")
    if directory not in DIRECTORIES:
        raise foreign(f"it holds {shown(name)}")
    if kind is not Kind.FILE:
        raise malformed(f"{shown(name)} is a {kind}, where only files may be", entry=name)
    if directory == VOLUMES and not _VOLUME_FILE.fullmatch(leaf):
        raise hostile(f"{shown(name)} does not name a volume", entry=name)


def check_complete(seen: Container[str]) -> None:
    """An archive without these cannot be restored by anybody."""
    for name in REQUIRED:
        if name not in seen:
            raise foreign(f"it has no {name}")


def _check_path(name: str) -> None:
    if name.startswith("/"):
        raise hostile(f"the absolute name {shown(name)}", entry=name)
    if "\\" in name or not name.isprintable():
        raise hostile(f"odd characters in the name {shown(name)}", entry=name)
    for component in name.split("/"):
        if component in ("", ".", ".."):
            raise hostile(f"the component {component!r} in the name {shown(name)}", entry=name)
        if len(component.encode()) > _MAX_COMPONENT_BYTES:
            raise hostile(f"the overlong name {shown(name)}", entry=name)
