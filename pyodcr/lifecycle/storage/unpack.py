"""Tar streams into directories, and the removal of deleted files: by a child that can touch nothing else.

Archives are hostile. The child is chrooted into the target (:mod:`confined`) before it reads their first byte; what it
does is in :mod:`extract` and :mod:`removal`. Neither is atomic: a target that failed half-way is for the caller
to discard.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pyodcr import process
from pyodcr.errors import ArchiveInvalid, PyodcrError, SystemFailed
from pyodcr.lifecycle.storage.tar_reader import Source
from pyodcr.linux.files import failed

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_LIST = "deleted.files"

# Neither the environment (-I) nor installed packages (-S) have a say in what the child runs; it starts in 30 ms.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from pyodcr.lifecycle.storage.confined import main; main(int(sys.argv[2]))"
)
_IMPORT_ROOT = Path(__file__).parents[3]

# What the kernel says to an entry that cannot be: the archive is at fault, not the machine.
_IMPOSSIBLE_ENTRY = frozenset(
    {
        errno.EEXIST,
        errno.EFBIG,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.ERANGE,
        errno.E2BIG,
        errno.EXDEV,
    }
)


@dataclass(frozen=True, slots=True)
class Child:
    """A process that waits for its request, see :mod:`confined`."""

    process: subprocess.Popen[bytes]
    request: IO[str]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a tar held: entries of all kinds, and bytes of data."""

    entries: int
    size_bytes: int


def tar(
    source: Source | int,
    target: Path,
    *,
    deleted: Sequence[str] = (),
    layer: bool = False,
    name: str = "the tar archive",
    invalid: type[PyodcrError] = ArchiveInvalid,
    max_entries: int | None = None,
    max_bytes: int | None = None,
    child: Child | None = None,
) -> Unpacked:
    """Unpack a decompressed tar, a stream or a descriptor, into an existing directory.

    ``deleted`` are paths to remove there, a checkpoint's deleted files, unless the tar brings them. ``layer``: as
    a lower directory of an overlay, OCI whiteouts in overlayfs's form. ``name`` is how errors call it. ``child`` is
    one that waits for a stream (:func:`waiting`).
    Raises ``invalid`` if it is damaged, cut short, impossible or beyond a limit; :class:`SystemFailed`
    (``no-space`` if that is it) when the kernel cannot; what reading ``source`` raises.
    """
    request = {
        "target": str(target),
        "deleted": list(deleted),
        "layer": layer,
        "entries": max_entries,
        "size_bytes": max_bytes,
    }
    fresh = waiting(source if isinstance(source, int) else subprocess.PIPE)
    with nullcontext(child) if child is not None else fresh as asked:
        _ask(asked, request)
        if not isinstance(source, int):
            _feed(source, asked.process)
        answer = _answer(asked.process, target, name, invalid)
    if unsupported := answer["unsupported_xattrs"]:
        log.warning("%s: %d extended attributes were lost, the filesystem does not keep such", target, unsupported)
    return Unpacked(answer["entries"], answer["size_bytes"])


def remove(
    root: Path,
    paths: Sequence[str],
    *,
    invalid: type[PyodcrError] = ArchiveInvalid,
) -> None:
    """Remove ``paths``, a checkpoint's deleted files, below ``root``; what is not there is fine.

    With a tar of the same checkpoint :func:`tar` does it, which keeps what that brings.
    """
    if not paths:
        return
    with waiting(subprocess.DEVNULL) as child:
        _ask(child, {"target": str(root), "deleted": list(paths)})
        _answer(child.process, root, _LIST, invalid)


@contextmanager
def waiting(source: int = subprocess.PIPE) -> Iterator[Child]:
    """A process for one tar, started before that is there, so that it costs no time then; unused, it is killed."""
    reading, writing = os.pipe()
    argv = [sys.executable, "-I", "-S", "-c", _START, str(_IMPORT_ROOT), str(reading)]
    pipe = subprocess.PIPE
    with (
        os.fdopen(writing, "w", encoding="utf-8") as request,
        os.fdopen(reading) as theirs,
        process.spawn(argv, stdin=source, stdout=pipe, stderr=pipe, pass_fds=[reading]) as child,
    ):
        theirs.close()
        yield Child(child, request)
        if not request.closed:
            child.kill()


def _ask(child: Child, request: dict[str, Any]) -> None:
    # Through a pipe, not on the command line: a list of deleted files may be longer than that can be.
    with suppress(BrokenPipeError), child.request as stream:  # it is dead? then its last words say why
        json.dump(request, stream)


def _feed(source: Source, child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    while chunk := source.read(_CHUNK_BYTES):
        try:
            child.stdin.write(chunk)
        except BrokenPipeError:  # the child gave up; its answer says why
            return


def _answer(child: subprocess.Popen[bytes], target: Path, name: str, invalid: type[PyodcrError]) -> dict[str, Any]:
    output, errors = child.communicate()
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        last_words = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise SystemFailed(
            f"cannot unpack into {target}: the process for it ended with status {child.returncode}: {last_words}",
            path=str(target),
        ) from None
    if sentence := answer.get("invalid"):
        raise invalid(f"{name} is invalid: {sentence}", path=str(target))
    if sentence := answer.get("invalid_list"):
        raise invalid(f"{_LIST} is invalid: {sentence}", path=str(target))
    if number := answer.get("errno"):
        error = OSError(number, os.strerror(number))
        if answer["at"] is None:
            raise failed("unpack into", target, error)
        if number in _IMPOSSIBLE_ENTRY:
            raise invalid(f"{name} is invalid: {answer['at']}: {os.strerror(number).lower()}", path=str(target))
        raise failed("unpack", target / answer["at"], error)
    return answer
