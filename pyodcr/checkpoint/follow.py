"""CRIU's memory images, archived while CRIU writes them, and given back behind the reader.

CRIU writes ``pages-1.img``, ``pages-2.img``... one after the other, each from front to back, and never comes back to
one: no rewrite, no second opening (tried with strace, CRIU 4.2). So the next number's appearance says that an image
is whole, and the hook at ``post-dump`` says it of the last. Should it be otherwise one day, the archive is refused:
when all is written, each image must be the file that was read, and as long.

What was read is in the archive's hands, so an image on its way out needs no room: memory is given back piece by piece.
This begins after the hook's handshake at ``pre-dump``, since without a hook the images would be the only copy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyodcr.checkpoint.archive.compression import FRAME_BYTES
from pyodcr.checkpoint.archive.names import CHECKPOINT
from pyodcr.checkpoint.archive.writer import ArchiveWriter, GrowingEntry, source_changed
from pyodcr.linux import files, holes

POLL_S = 0.002
READ_BYTES = 1 << 20  # CRIU's writes are small; smaller reads would cost more than they hasten
PATIENCE_S = 1.0


class Follower:
    """Puts the memory images of ``images`` into ``archive``: those that are there, and those that come.

    ::

        with Follower(images, archive, give_back=True) as follower:
            follower.start()        after the handshake; the archive belongs to a thread from now on
            ...
            follower.complete()     CRIU has written everything
            ...
            follower.finish()       the archive is the caller's again, and holds them all: their names

    Without :meth:`start` all is done by :meth:`finish`: for a container that runs on, and should stand still for as
    short as possible, so that CRIU needs the processors. With ``give_back`` the images are holes afterwards. Errors of
    the thread are raised by :meth:`finish`. Leaving the block ends the thread; one that hangs, since the place it
    writes to hangs, is left alone: it can write nothing more to an archive that was given up, and dies with us.
    """

    def __init__(self, images: Path, archive: ArchiveWriter, *, give_back: bool) -> None:
        self._images = images
        self._archive = archive
        self._give_back = give_back
        self._complete = threading.Event()
        self._stopped = False
        self._failure: BaseException | None = None
        self._read: dict[str, tuple[int, int]] = {}  # inode and size of what is archived, by name
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._complete.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def start(self) -> None:
        """May be called again: some versions of CRIU run their script twice at each stage."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def complete(self) -> None:
        """Every image is written."""
        self._complete.set()

    def finish(self) -> frozenset[str]:
        """Wait until all memory images are in the archive; their names."""
        self._complete.set()
        if self._thread is None:
            self._run()
        else:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._require_unchanged()
        return frozenset(self._read)

    def _run(self) -> None:
        try:
            number = 1
            while not self._stopped:
                is_last = self._complete.is_set()  # before looking
                if self._path(number).exists():
                    self._follow(number)
                    number += 1
                elif is_last:
                    return
                else:
                    self._complete.wait(POLL_S)
        except BaseException as error:
            self._failure = error

    def _follow(self, number: int) -> None:
        path = self._path(number)
        with _opened(path) as image:
            entry: GrowingEntry | None = None
            while not self._stopped:
                is_whole = self._complete.is_set() or self._path(number + 1).exists()  # before reading
                size = os.fstat(image).st_size
                if entry is None and size >= FRAME_BYTES:
                    entry = self._archive.grow(f"{CHECKPOINT}/{path.name}")
                if entry is not None and (is_whole or size - entry.size_bytes >= READ_BYTES):
                    self._take(image, entry)
                if is_whole:
                    break
                self._complete.wait(POLL_S)
            if self._stopped:
                return
            inode, size = _identity(image)
            if entry is None:
                self._archive.add_file(f"{CHECKPOINT}/{path.name}", path)
            else:
                entry.close()
                size = entry.size_bytes
            self._read[path.name] = (inode, size)

    def _take(self, image: int, entry: GrowingEntry) -> None:
        """All that is there now; whole frames are given back."""
        given = entry.size_bytes - entry.size_bytes % FRAME_BYTES
        while not self._stopped and entry.read_from(image):
            whole = entry.size_bytes - entry.size_bytes % FRAME_BYTES
            if self._give_back and whole > given:
                self._give_back = holes.punch(image, given, whole - given)
                given = whole

    def _require_unchanged(self) -> None:
        for name, identity in self._read.items():
            with _opened(self._images / name) as image:
                if _identity(image) != identity:
                    raise source_changed(f"{CHECKPOINT}/{name}", "it is not as it was when it was whole")

    def _path(self, number: int) -> Path:
        return self._images / f"pages-{number}.img"


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise files.failed("read", path, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _identity(image: int) -> tuple[int, int]:
    info = os.fstat(image)
    return info.st_ino, info.st_size
