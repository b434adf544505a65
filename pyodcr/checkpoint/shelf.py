"""Where an import puts CRIU's images until they are restored: in memory as far as there is some, else on the disk.

::

    ROOT/staging/OPERATION/
    ├── memory/checkpoint/          a tmpfs of this operation: what CRIU is given
    │   ├── core-1.img ...
    │   └── pages-1.img ─> ../../checkpoint/pages-1.img
    └── checkpoint/pages-1.img      what did not fit

How much will come nobody knows who reads a pipe, but each entry tells its size before its data: so it is decided for
one after the other. CRIU gives back what it has read (auto-dedup), page by page as the container's own memory fills:
so what holds the images is enough for the restore as well.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyodcr.checkpoint import staging
from pyodcr.checkpoint.archive.entry import Entry
from pyodcr.checkpoint.archive.extract import extract_to
from pyodcr.checkpoint.archive.names import CHECKPOINT, Kind
from pyodcr.checkpoint.staging import MIB, Medium
from pyodcr.config import Staging
from pyodcr.errors import Unsupported
from pyodcr.linux import files

BESIDE_BYTES = 64 * MIB  # below that, memory is not worth a mount
INODE_BYTES = 8 << 10  # what a file takes beside its data, and its last page


class Shelf:
    """The images of one operation, in its own ``directory``, which its owner removes with all that is mounted there."""

    def __init__(self, directory: Path, wish: Staging) -> None:
        self._disk = files.make_directory(directory)
        self._memory: Path | None = None
        self._wish = wish
        self._free, self._bounded_by = (0, "") if wish is Staging.DISK else staging.free_bytes(staging.observe())
        if self._free > BESIDE_BYTES:
            self._memory = files.make_directory(directory / Medium.MEMORY)
            staging.mount(self._memory, self._free)

    @property
    def images(self) -> Path:
        return (self._memory or self._disk) / CHECKPOINT

    def put(self, entry: Entry) -> None:
        """Write an entry of a directory of images. Raises :class:`Unsupported` where memory is demanded in vain."""
        if self._memory is not None and (entry.kind is not Kind.FILE or self._takes(entry)):
            extract_to(entry, self._memory)
            return
        if self._wish is Staging.MEMORY:
            raise Unsupported(
                f"the images cannot be held in memory: {entry.name} takes {entry.size // MIB} MiB, "
                f"and {self._bounded_by} leaves {self._free // MIB} MiB",
                code="no-memory",
                hint='free some memory, or set staging = "auto"',
            )
        extract_to(entry, self._disk)
        if self._memory is not None:
            link = self._memory / entry.name
            files.make_directory(link.parent)
            link.symlink_to(os.path.relpath(self._disk / entry.name, link.parent))

    def _takes(self, entry: Entry) -> bool:
        needed = entry.size + INODE_BYTES
        if needed > self._free:
            return False
        self._free -= needed
        return True
