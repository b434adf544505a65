"""The receiving end of an archive: an entry goes where it belongs as it comes, or waits in staging until it can.

    config.dump  spec.dump              the container is made of them, its file systems are mounted: there are places
    network.status  deleted.files       read
    checkpoint/*  pre-checkpoint/*      put on a shelf for CRIU (:mod:`.shelf`)
    rootfs-diff.tar  volumes/NAME.tar   unpacked where they belong; the first of them needs deleted.files before it
    devshm-checkpoint.tar  ctr.log      as well

pyodcr writes them in an order in which none waits. Podman's has /dev/shm before config.dump, and deleted.files behind
rootfs-diff.tar. What is made here is made of hearsay: nothing of it may be started before the archive was read to
its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias, cast

from pyodcr import jsonio
from pyodcr.checkpoint import capture
from pyodcr.checkpoint.archive import names
from pyodcr.checkpoint.archive.entry import MAX_WHOLE_BYTES
from pyodcr.checkpoint.archive.extract import extract_to
from pyodcr.checkpoint.archive.index import Index
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.errors import ArchiveInvalid
from pyodcr.lifecycle.storage import unpack
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.checkpoint.archive.entry import Entry
    from pyodcr.checkpoint.destinations.base import Destination
    from pyodcr.checkpoint.options import Progress
    from pyodcr.checkpoint.shelf import Shelf
    from pyodcr.lifecycle.storage.tar_reader import Source

IMAGES = (capture.IMAGES, names.PRE_CHECKPOINT)
PARTS = (capture.ROOTFS, capture.SHM, capture.LOG)  # and the volumes
MAX_DELETED_BYTES = 64 << 20  # a million of them
BESIDE_IMAGES = (capture.CONFIG, capture.SPEC, capture.NETWORK, capture.SHM)  # what memory cannot be without
LAST_IMAGE = "inventory.img"  # CRIU writes it when all others are whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the parts of a container go; what has no place is passed over.

    ``bundle`` is for its log. ``volumes``: name -> directory.
    """

    rootfs: Path | None = None
    shm: Path | None = None
    bundle: Path | None = None
    volumes: Mapping[str, Path] = field(default_factory=dict)


Begin: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], Places]


class Receiver:
    """Takes the entries of one archive, in any order.

    ``begin`` is called once with config.dump and spec.dump, makes the container and says where its parts go.
    CRIU's images go to ``shelf``, what has to wait to the directory ``waiting``. Inside a ``with`` block.
    """

    def __init__(self, begin: Begin, *, shelf: Shelf, waiting: Path) -> None:
        self._begin = begin
        self._shelf = shelf
        self._waiting_room = files.make_directory(waiting)
        self._documents: dict[str, Any] = {}
        self._places: Places | None = None
        self._waiting: list[str] = []
        self._ended = False
        self._child: unpack.Child | None = None  # that waits for the first tree
        self._close = ExitStack()

    def __enter__(self) -> Self:
        self._child = self._close.enter_context(unpack.waiting())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.__exit__(kind, error, trace)  # after an error they are killed, in the middle of what they do

    @property
    def network_status(self) -> Mapping[str, Any] | None:
        status: Mapping[str, Any] | None = self._documents.get(capture.NETWORK)
        return status

    def take(self, entry: Entry) -> None:
        """Deliver the entry, or keep it, or pass it over."""
        directory, _, _ = entry.name.rpartition("/")
        if entry.name in _DOCUMENTS:
            text = entry.read_all(MAX_DELETED_BYTES if entry.name == capture.DELETED else MAX_WHOLE_BYTES)
            self._documents[entry.name] = _DOCUMENTS[entry.name](text.decode(errors="surrogateescape"), entry.name)
            self._go_on()
        elif (directory or entry.name) in IMAGES:
            self._shelf.put(entry)
        elif entry.name not in PARTS and directory != capture.VOLUMES:
            return
        elif self._is_ready(entry.name):
            self._deliver(entry.name, entry)
        elif self._places is None or self._target(entry.name) is not None:
            extract_to(entry, self._waiting_room)
            self._waiting.append(entry.name)

    def finish(self) -> None:
        """The archive has ended, and is what it should be: whatever waits goes where it belongs."""
        self._ended = True
        self._go_on()
        rootfs = self._target(capture.ROOTFS)
        if rootfs is not None:  # and no tar has come for it
            unpack.remove(rootfs, self._documents.pop(capture.DELETED, ()))
        if not (self._shelf.images / LAST_IMAGE).is_file():
            raise ArchiveInvalid(
                f"the archive holds no complete checkpoint: {capture.IMAGES}/{LAST_IMAGE} is missing",
                code="archive-incomplete",
            )

    def _go_on(self) -> None:
        """After a document has come: what could not be done without it."""
        if self._places is None and self._documents.keys() >= {capture.CONFIG, capture.SPEC}:
            self._places = self._begin(self._documents[capture.CONFIG], self._documents[capture.SPEC])
        for name in [name for name in self._waiting if self._is_ready(name)]:
            self._waiting.remove(name)
            self._deliver_kept(name)

    def _is_ready(self, name: str) -> bool:
        if self._places is None:
            return False
        return name != capture.ROOTFS or capture.DELETED in self._documents or self._ended

    def _target(self, name: str) -> Path | None:
        assert self._places is not None
        if name == capture.ROOTFS:
            return self._places.rootfs
        if name == capture.SHM:
            return self._places.shm
        return self._places.bundle if name == capture.LOG else self._places.volumes.get(Path(name).stem)

    def _deliver(self, name: str, entry: Entry) -> None:
        target = self._target(name)
        if target is None:
            return
        if name == capture.LOG:
            extract_to(entry, target)
        else:
            self._unpack(name, entry, target)

    def _deliver_kept(self, name: str) -> None:
        target, path = self._target(name), self._waiting_room / name
        if target is None:
            return
        if name == capture.LOG:
            files.move(path, target / name)
            return
        with path.open("rb") as source:
            self._unpack(name, source.fileno(), target)
        files.remove(path)

    def _unpack(self, name: str, source: Source | int, target: Path) -> None:
        deleted = self._documents.pop(capture.DELETED, ()) if name == capture.ROOTFS else ()
        if name.startswith(f"{capture.VOLUMES}/"):  # what the image has there was copied into it; this is all there was
            for path in target.iterdir():
                files.remove_tree(path)
        child = None
        if not isinstance(source, int):
            child, self._child = self._child, None
        unpack.tar(source, target, deleted=deleted, name=name, child=child)


def receive(source: Destination, receiver: Receiver, progress: Progress) -> int:
    """Read the whole archive in one pass, and verify it; the bytes of all its entries.

    Raises :class:`ArchiveInvalid` for anything damaged, foreign or hostile.
    """
    info = source.stat()
    with source.open() as stream, _named(source), receiver:
        return _receive(_Told(stream, progress, info.size_bytes if info is not None else 0), receiver)


def receive_memory(source: Destination, receiver: Receiver, progress: Progress) -> int:
    """As :func:`receive`, of an archive whose files are not wanted: they are not even read where that can be helped.

    Every entry is verified by the manifest, which is verified itself.
    """
    with source.open() as stream, _named(source), receiver:
        index = Index.load(stream) if stream.seekable() else None
        if index is None:
            if stream.seekable():
                stream.seek(0)
            return _receive(_Told(stream, progress, 0), receiver)
        wanted = [told for told in index.manifest.entries if told.name.split("/")[0] in (*IMAGES, *BESIDE_IMAGES)]
        total = sum(told.size for told in wanted)
        with closing(index.entries(wanted)) as entries:
            size_bytes = _take_all(entries, receiver, lambda done: progress(done, total))
        receiver.finish()
        return size_bytes


def _receive(stream: _Told, receiver: Receiver) -> int:
    with closing(ArchiveReader(cast(BinaryIO, stream))) as reader:
        size_bytes = _take_all(reader, receiver)
    receiver.finish()
    return size_bytes


def _take_all(
    entries: Iterable[Entry], receiver: Receiver, advance: Callable[[int], object] = lambda done: None
) -> int:
    size_bytes = 0
    for entry in entries:
        receiver.take(entry)
        size_bytes += entry.size
        advance(size_bytes)
    return size_bytes


@contextmanager
def _named(source: Destination) -> Iterator[None]:
    """The reader does not know what it reads."""
    try:
        yield
    except ArchiveInvalid as error:
        raise ArchiveInvalid(f"{source}: {error.message}", code=error.code, hint=error.hint, **error.details) from error


class _Told:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, progress: Progress, total: int) -> None:
        self._read = getattr(stream, "read1", stream.read)  # what is there, not all that was asked for: pipes are slow
        self._progress = progress
        self._total = total
        self._done = 0

    def read(self, size: int) -> bytes:
        data: bytes = self._read(size)
        self._done += len(data)
        self._progress(self._done, self._total)
        return data


def _object(text: str, name: str) -> Mapping[str, Any]:
    try:
        return jsonio.loads(text, name)
    except jsonio.JsonInvalid as error:
        raise ArchiveInvalid(f"the archive's {error}", code="archive-foreign") from error


def network_status(text: str, name: str = capture.NETWORK) -> Mapping[str, Any] | None:
    status = _json(text, name)
    if status is not None and not isinstance(status, dict):
        raise ArchiveInvalid(f"the checkpoint's {name} is not a JSON object")
    return status


def _paths(text: str, name: str) -> list[str]:
    paths = _json(text, name) or []
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ArchiveInvalid(f"the checkpoint's {name} is not a list of paths")
    return paths


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: hostile nesting
        raise ArchiveInvalid(f"the checkpoint's {name} is not valid JSON: {error}") from error


_DOCUMENTS: Mapping[str, Callable[[str, str], Any]] = {
    capture.CONFIG: _object,
    capture.SPEC: _object,
    capture.NETWORK: network_status,
    capture.DELETED: _paths,
}
