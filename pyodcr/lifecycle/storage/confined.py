"""The process that unpacks and removes: chrooted into the target, so no name in an archive can mean a place outside.

Started by :mod:`unpack`. Through a pipe comes the request (JSON), one of the first two; standard input is the tar;
standard output takes the answer (JSON), one of the last four:

    {"target": "/path", "deleted": ["/path", ...]}
    {"target": "/path", "deleted": ["/path", ...], "layer": false, "entries": null, "size_bytes": null}

    {"entries": 7, "size_bytes": 4096, "unsupported_xattrs": 0}
    {"invalid": "it is cut short"}              the archive's fault
    {"invalid_list": "it names the root"}       that of its list of deleted files
    {"errno": 28, "at": "usr/bin/env"}          the kernel's; ``at`` is null if it was before the first entry

Everything is imported before the chroot: afterwards a module, like any other file, would be the archive's.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pyodcr.lifecycle.storage.extract import Extraction, Limits
from pyodcr.lifecycle.storage.removal import Deletions
from pyodcr.lifecycle.storage.tar import TarInvalid
from pyodcr.lifecycle.storage.tar_reader import TarReader

_BUFFER_BYTES = 1 << 20


def main(request_fd: int) -> None:
    with os.fdopen(request_fd, encoding="utf-8") as stream:
        text = stream.read()
    if text:  # else nothing was to be done after all
        os.write(1, json.dumps(_answer(json.loads(text))).encode())


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _enter(request["target"])
    except OSError as error:
        return {"errno": error.errno, "at": None}
    try:
        deletions = Deletions(request["deleted"])
    except TarInvalid as error:
        return {"invalid_list": str(error)}
    return _extract(deletions, request) if "layer" in request else _remove(deletions)


def _enter(target: str) -> None:
    os.chroot(target)
    os.chdir("/")
    os.umask(0)
    sys.path.clear()
    sys.meta_path.clear()


def _remove(deletions: Deletions) -> dict[str, Any]:
    try:
        deletions.carry_out(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        return {"errno": error.errno, "at": error.filename}
    return {}


def _extract(deletions: Deletions, request: dict[str, Any]) -> dict[str, Any]:
    limits = Limits(request["entries"], request["size_bytes"])
    source = os.fdopen(0, "rb", buffering=_BUFFER_BYTES)
    extraction = Extraction(TarReader(source), limits, deletions, layer=request["layer"])
    try:
        extraction.run()
        while source.read(_BUFFER_BYTES):  # zeros up to a full tape record: whoever writes them must not meet EPIPE
            pass
    except TarInvalid as error:
        return {"invalid": str(error)}
    except OSError as error:
        return {"errno": error.errno, "at": extraction.at}
    return {
        "entries": extraction.entries,
        "size_bytes": extraction.size_bytes,
        "unsupported_xattrs": extraction.unsupported_xattrs,
    }
