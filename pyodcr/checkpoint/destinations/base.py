"""What a place for archives does, whatever it is: the contract that every backend keeps.

A destination is named by a URL (a path, ``-``, ``s3://bucket/key``, and what plugins add) and holds at most one
object, which is streamed in and out, and is whole under its name or not there at all.

Failures are :class:`~pyodcr.errors.DestinationError` with one of these codes:

    destination-not-found     no such object, directory or bucket
    destination-denied        permissions, credentials
    destination-unreachable   no connection, or it broke
    destination-too-large     more than the destination can hold in one object
    destination-failed        anything else the far side reports
    no-space                  disk or quota full
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, TypeVar

from pyodcr.errors import DestinationError, PyodcrError

if TYPE_CHECKING:
    from pyodcr.config import Config

Bytes: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object. ``url`` resolves to it again; ``etag`` changes whenever its content does; ``modified`` is in UTC."""

    url: str
    size_bytes: int
    modified: datetime
    etag: str


class Upload(Protocol):
    """An object on its way. The context manager that gave it out aborts it unless it was committed."""

    def write(self, data: Bytes) -> int:
        """Take all of ``data``, which may be reused at once. After an error there is nothing left to do but abort."""
        ...

    def recovery(self) -> Mapping[str, str]:
        """What :func:`abort` needs in another process, should this one be killed. Known before the first byte."""
        ...

    def commit(self) -> ObjectInfo:
        """Make the object whole and durable under its name, in place of one that was there."""
        ...


class Destination(Protocol):
    """``str()`` of it is the name as the user wrote it, for messages."""

    @property
    def url(self) -> str:
        """Canonical and without credentials: what a later process resolves to the same object."""
        ...

    @property
    def durable(self) -> bool:
        """False where nothing can be read back later: standard output, FIFOs, devices."""
        ...

    def check(self) -> None:
        """Find out, before anything is frozen, whether an upload could begin here. Leaves nothing behind."""
        ...

    def put(self) -> AbstractContextManager[Upload]: ...

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Read the object as a stream, in bounded memory. It can seek wherever the place allows it."""
        ...

    def stat(self) -> ObjectInfo | None: ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects beside this one (same directory, same folder of a bucket) whose names begin with ``prefix``."""
        ...

    def delete(self) -> None:
        """Remove the object; one that is gone already is no error."""
        ...


class Backend(Protocol):
    """What an entry point of the group ``pyodcr.destination`` names: the class of a scheme's destinations."""

    def from_url(self, text: str, config: Config) -> Destination:
        """Raises :class:`~pyodcr.errors.UsageError` for a name that makes no sense. Touches nothing."""
        ...

    def abort(self, recovery: Mapping[str, str], config: Config) -> None:
        """Undo an upload whose process died, from what :meth:`Upload.recovery` said. Idempotent."""
        ...


class Abortable(Upload, Protocol):
    def close(self) -> None:
        """Abort what was not committed. Raises :class:`DestinationError` if something of it may remain."""
        ...


AnyUpload = TypeVar("AnyUpload", bound=Abortable)


@contextmanager
def aborting(upload: AnyUpload) -> Iterator[AnyUpload]:
    """Close ``upload`` at the end. One error tells all: why the upload ended, and what it left behind.

    What that is, and how another process aborts it later, is ``unfinished`` among the error's details.
    """
    try:
        yield upload
    except BaseException as error:
        try:
            _close(upload)
        except DestinationError as remains:
            _add(error, remains)
        raise
    _close(upload)


def _close(upload: Abortable) -> None:
    try:
        upload.close()
    except DestinationError as remains:
        remains.details["unfinished"] = dict(upload.recovery())
        raise


def _add(error: BaseException, remains: DestinationError) -> None:
    if isinstance(error, PyodcrError):
        error.hint = "; ".join(filter(None, (error.hint, remains.message, remains.hint)))
        error.details.update(remains.details)
    else:
        error.add_note(remains.message)
