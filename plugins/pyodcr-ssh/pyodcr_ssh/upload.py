"""An upload: one connection, from before the first byte until the far side has said that the file is durable.

The bytes go into a temporary file beside the target, ``.NAME.RANDOM.tmp``. When ssh ends before the whole upload has
come, for whatever reason, the far side's program removes it. Where that program dies too, :func:`abort` does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from pyodcr.checkpoint.destinations.base import Bytes, ObjectInfo
from pyodcr.errors import DestinationError
from pyodcr_ssh import info, programs
from pyodcr_ssh.address import Address
from pyodcr_ssh.session import Session, question, session
from pyodcr_ssh.settings import Settings

GIVE_UP_WAIT_S = 5
MOST_STEM_BYTES = 200  # the longest name a filesystem allows has no room for ours around it


class SshUpload:
    def __init__(self, address: Address, settings: Settings) -> None:
        """Creates the temporary file."""
        self._address = address
        self._settings = settings
        self._size_bytes = 0
        self._late: list[tuple[int, bytes]] = []  # offsets, and what belongs there
        self._failure: DestinationError | None = None
        self._remains = True
        self._end = secrets.token_hex(16)
        stem = address.path.rpartition("/")[2].encode()[:MOST_STEM_BYTES].decode(errors="ignore")
        program = programs.whole(
            programs.PUT, path=address.far_path, temporary=f".{stem}.{secrets.token_hex(4)}.tmp", end=self._end
        )
        with ExitStack() as undo:
            self._far: Session = undo.enter_context(session(address, settings, program, "write"))
            self._far.field()  # ready
            self._part = self._far.field()
            self._identity = self._far.field()
            self._session = undo.pop_all()

    def recovery(self) -> Mapping[str, str]:
        return {"scheme": "ssh", "url": self._address.url, "temporary": self._part}

    def write(self, data: Bytes) -> int:
        if self._failure:
            raise self._failure
        try:
            self._far.write(data)
        except DestinationError as error:
            self._failure = error
            raise
        size_bytes = memoryview(data).nbytes
        self._size_bytes += size_bytes
        return size_bytes

    def reserve(self, size: int) -> Callable[[Bytes], None]:
        offset = self._size_bytes
        self.write(bytes(size))

        def fill(data: Bytes) -> None:
            self._late.append((offset, bytes(data)))

        return fill

    def commit(self) -> ObjectInfo:
        size_bytes = self._size_bytes
        table = "".join(f"{offset} {len(data)}\n" for offset, data in self._late).encode()
        for piece in (*(data for _, data in self._late), table):
            self.write(piece)
        self.write(programs.end(self._end, size_bytes, len(table)))
        self._far.close_input()
        try:
            self._far.field()  # whole
            said = self._far.field()
        except DestinationError as error:
            self._failure = error
            said = self._settle(error)
        self._remains = False
        found = info.parse(said, self._address.url)
        if found.size_bytes != size_bytes:
            raise DestinationError(
                f"cannot write {self._address.url}: {size_bytes} bytes were sent, but {found.size_bytes} are there",
                code="destination-failed",
            )
        return found

    def close(self) -> None:
        """Abort what was not committed. Raises :class:`DestinationError` if the far side may have kept it."""
        with self._session:
            if self._remains and not self._failure:
                self._give_up()
        if self._remains:
            abort(self._address, self._settings, self._part)
            self._remains = False

    def _give_up(self) -> None:
        """End the bytes too early, and wait until the far side has drawn its conclusion."""
        try:
            self._remains = not self._far.give_up() or not self._far.field(GIVE_UP_WAIT_S)
        except DestinationError:
            return

    def _settle(self, error: DestinationError) -> str:
        """What there is of the file if the commit that ended with ``error`` did happen; else raises ``error``.

        Afterwards it cannot happen any more: without the temporary file the far side's program has nothing to rename.
        """
        program = programs.whole(programs.SETTLE, path=self._address.far_path, part=self._part, identity=self._identity)
        self._far.kill()
        try:
            with question(self._address, self._settings, program, "write") as far:
                answer = far.field()
                said = far.field() if answer == "whole" else ""
        except DestinationError as silence:
            error.hint = "it may have been written all the same: the host does not say"
            raise error from silence
        self._remains = False
        if not said:
            raise error
        return said


def abort(address: Address, settings: Settings, part: str) -> None:
    """Remove the temporary file ``part`` of an upload; one that is gone already is no error."""
    try:
        with question(address, settings, programs.whole(programs.ABORT, part=part), "abort the upload to") as far:
            far.field()
    except DestinationError as error:
        raise DestinationError(
            f"an unfinished upload to {address.url} may remain: {part}",
            code=error.code,
            hint=f"that host removes it when it sees the connection end, else: pyodcr system prune ({error.message})",
            temporary=part,
        ) from error
