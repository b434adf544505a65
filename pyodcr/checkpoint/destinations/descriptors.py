"""Reading and writing through file descriptors, with the kernel's refusals told as ours.

Shared by the destinations that are one: files, pipes, devices.
"""

from __future__ import annotations

import array
import errno
import fcntl
import io
import os
import select
import termios
from typing import TYPE_CHECKING

from pyodcr.checkpoint.destinations.base import Bytes
from pyodcr.errors import DestinationError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DRAIN_POLL_MS = 20

_CODES = {
    errno.ENOENT: "destination-not-found",
    errno.ENOTDIR: "destination-not-found",
    errno.EACCES: "destination-denied",
    errno.EPERM: "destination-denied",
    errno.EROFS: "destination-denied",
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.EFBIG: "destination-too-large",
    errno.EPIPE: "destination-unreachable",
}
_HINTS = {
    errno.ENOSPC: "free some space there, or choose another destination",
    errno.EDQUOT: "free some space there, or choose another destination",
    errno.EFBIG: "the filesystem, or a limit of this process (ulimit -f), allows no file of that size",
    errno.EPIPE: "the program that reads the archive ended early",
    errno.EIO: "look for errors of the disk in the kernel's log",
}


def failed(action: str, name: str, error: OSError) -> DestinationError:
    """The one way an OSError about a destination becomes an error of ours."""
    number = error.errno or 0
    return DestinationError(
        f"cannot {action} {name}: {(error.strerror or str(error)).lower()}",
        code=_CODES.get(number, "destination-failed"),
        hint=_HINTS.get(number),
        errno=number,
    )


def write_all(fd: int, data: Bytes, name: str) -> int:
    view = memoryview(data).cast("B")
    written = 0
    while written < len(view):
        try:
            written += os.write(fd, view[written:])
        except BlockingIOError:  # whoever shares the pipe with us made it non-blocking
            _wait(fd, select.POLLOUT)
        except OSError as error:
            raise failed("write", name, error) from error
    return written


def _wait(fd: int, events: int) -> None:
    poll = select.poll()
    poll.register(fd, events)
    poll.poll()


class Reader(io.RawIOBase):
    """A descriptor of our own as a raw stream; ``name`` is how messages call it."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    def fileno(self) -> int:
        return self._fd

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while True:
            try:
                return os.readv(self._fd, [buffer])
            except BlockingIOError:
                _wait(self._fd, select.POLLIN)
            except OSError as error:
                raise failed("read", self._name, error) from error

    def seekable(self) -> bool:
        try:
            os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError:
            return False
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._fd, offset, whence)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


def drain(pipe: int, name: str) -> None:
    """Wait until the reader has taken all that is in the pipe.

    The kernel accepts what fits into its buffer although nobody may ever read it: an archive of a few KiB
    would be committed, and its container killed, for a reader that is about to leave. A reader that left after
    it took everything is as good as one that stays.
    """
    poller = select.poll()
    poller.register(pipe, 0)  # POLLERR alone: the reader has gone
    while _unread(pipe):
        if poller.poll(DRAIN_POLL_MS) and _unread(pipe):
            raise failed("write", name, BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def _unread(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
