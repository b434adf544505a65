"""One entry while it is read, and the bytes of the tar it is read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.invalid import hostile, tampered, truncated
from pyodcr.checkpoint.archive.manifest import ManifestEntry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.checkpoint.archive.streams import Sink, write_all

MAX_WHOLE_BYTES = 16 << 20  # config.dump and its like are some 20 KiB


class Content:
    """The tar's bytes as the decoder gives them, in chunks; ``offset`` counts those handed out."""

    def __init__(self, chunks: Iterator[bytes], offset: int = 0) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self.offset = offset

    def views(self, size: int) -> Iterator[memoryview]:
        """Exactly the next ``size`` bytes, without a copy, or ``archive-truncated``."""
        while size:
            if not self._fill():
                raise truncated(self.offset)
            view = self._chunk[:size]
            self._chunk = self._chunk[len(view) :]
            self.offset += len(view)
            size -= len(view)
            yield view

    def exactly(self, size: int) -> bytes:
        return b"".join(self.views(size))

    def rest(self) -> Iterator[memoryview]:
        """All that is left."""
        while self._fill():
            yield from self.views(len(self._chunk))

    def _fill(self) -> bool:
        while not self._chunk:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._chunk = memoryview(chunk)
        return True


class Entry:
    """A file, directory or symlink of the archive, read once from front to back and hashed on the way.

    ``size`` is in bytes, ``target`` is a symlink's. With ``sha256`` known beforehand, a read that reaches the
    end of a changed file raises ``archive-tampered`` instead of handing out the last bytes.
    """

    def __init__(self, member: Member, content: Content, *, sha256: str | None = None) -> None:
        self.name = member.name
        self.kind = member.kind
        self.size = member.size
        self.mode = member.mode
        self.target = member.target
        self._content = content
        self._offset = content.offset
        self._left = member.size
        self._hash = hashlib.sha256()
        self._expected = sha256
        self._passed = False

    def __repr__(self) -> str:
        return f"<Entry {self.name!r} {self.kind} {self.size}>"

    def views(self, size: int | None = None) -> Iterator[memoryview]:
        """At most ``size`` bytes, fewer at the end of the entry, as they come; a view is valid for good."""
        if self._passed:
            raise ValueError(f"{self.name} was passed over: entries are read while the archive stands at them")
        wanted = self._left if size is None else min(size, self._left)
        for view in self._content.views(wanted):
            self._hash.update(view)
            self._left -= len(view)
            if not self._left and self._expected not in (None, self._hash.hexdigest()):
                raise tampered(f"the content of {self.name} is not what was written", entry=self.name)
            yield view

    def read(self, size: int = -1, /) -> bytes:
        """As a file's: ``size`` bytes, or all for -1; nothing at the end. See :meth:`read_all` for unknown sizes."""
        return b"".join(self.views(None if size < 0 else size))

    def read_all(self, max_bytes: int = MAX_WHOLE_BYTES) -> bytes:
        """All that is left, for entries that have to be small."""
        if self._left > max_bytes:
            raise hostile(f"{self.name} has {self.size} bytes, where {max_bytes} are plenty", entry=self.name)
        return self.read()

    def copy_to(self, sink: Sink) -> None:
        for view in self.views():
            write_all(sink, view)

    def finish(self) -> ManifestEntry:
        """Read what nobody read, and say what the entry was; nothing can be read afterwards."""
        for _ in self.views():
            pass
        self._passed = True
        digest = self._hash.hexdigest() if self.kind is Kind.FILE else ""
        return ManifestEntry(self.name, self.kind, self._offset, self.size, digest, self.target)
