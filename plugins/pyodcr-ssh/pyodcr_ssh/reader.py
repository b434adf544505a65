"""A file of the far side as a stream that goes on where a broken connection left it."""

from __future__ import annotations

import io
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyodcr.errors import DestinationError
from pyodcr_ssh import info, programs
from pyodcr_ssh.address import Address
from pyodcr_ssh.session import Session, question
from pyodcr_ssh.settings import Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RESUMES = 2  # in a row, without a byte between them
PAUSE_S = 1.0


class SshReader(io.RawIOBase):
    """Holds one connection that streams from the position on, and makes another after it broke or after a seek.

    The file must be the same for all of them: no stream is made of two files.
    """

    def __init__(self, address: Address, settings: Settings) -> None:
        self._address = address
        self._settings = settings
        self._position = 0
        self._session = ExitStack()
        self._far: Session | None = None
        self._etag = ""
        self._size_bytes = 0
        self._connect()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        resumes = 0
        while self._position < self._size_bytes:
            try:
                count = (self._far or self._connect()).read_into(view[: self._size_bytes - self._position])
                if not count:
                    raise self._cut_short()
            except DestinationError as error:
                self._drop()
                if error.code != "destination-unreachable" or resumes == RESUMES:
                    raise
                resumes += 1
                time.sleep(PAUSE_S * resumes)
                continue
            self._position += count
            return count
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset != self._position:
            self._drop()
            self._position = max(0, base + offset)
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _connect(self) -> Session:
        program = programs.whole(programs.OPEN, path=self._address.far_path, offset=str(self._position))
        with ExitStack() as undo:
            far = undo.enter_context(question(self._address, self._settings, program, "read"))
            far.field()  # ready
            found = info.parse(far.field(), self._address.url)
            if self._etag and found.etag != self._etag:
                raise DestinationError(
                    f"cannot read {self._address.url}: it was replaced while it was read",
                    code="destination-failed",
                    hint="try again",
                )
            self._session = undo.pop_all()
        self._far, self._etag, self._size_bytes = far, found.etag, found.size_bytes
        return far

    def _drop(self) -> None:
        self._far = None
        self._session.close()

    def _cut_short(self) -> DestinationError:
        assert self._far
        return self._far.ended()
