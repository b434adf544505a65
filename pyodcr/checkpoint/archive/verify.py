"""Checking an archive without keeping anything of it."""

from __future__ import annotations

from typing import BinaryIO

from pyodcr.checkpoint.archive.limits import Limits
from pyodcr.checkpoint.archive.manifest import Manifest
from pyodcr.checkpoint.archive.reader import ArchiveReader


def verify(source: BinaryIO, *, limits: Limits | None = None) -> Manifest | None:
    """Read all of ``source``; raise :class:`ArchiveInvalid` unless it is whole, ours, and unchanged.

    None for an archive of Podman's that is well-formed: it holds no hashes to compare with.
    """
    reader = ArchiveReader(source, limits=limits)
    for _ in reader:
        pass
    return reader.manifest
