"""From the name of a destination to the backend that serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from pyodcr import plugins
from pyodcr.checkpoint.destinations.base import Backend, Destination
from pyodcr.config import Config
from pyodcr.errors import UsageError

GROUP = "pyodcr.destination"
BUILT_IN = {
    "file": "pyodcr.checkpoint.destinations.local:LocalDestination",
    "-": "pyodcr.checkpoint.destinations.stdio:StdioDestination",
    "s3": "pyodcr.checkpoint.destinations.s3:S3Destination",
}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")  # RFC 3986, 3.1
# Not paths, though they could be: `s3:bucket/key` is a slip, `C:\dir` comes from another system.
_NEARLY_URL = re.compile(r"(s3|file|[A-Za-z]):")


def resolve(text: str, config: Config) -> Destination:
    """The destination a user, or a database row, names; raises :class:`UsageError` for an unknown scheme."""
    return _backend(scheme_of(text), text).from_url(text, config)


def abort(recovery: Mapping[str, str], config: Config) -> None:
    """Undo what an upload left behind whose process was killed. Idempotent; raises if it cannot be done now."""
    scheme = recovery["scheme"]
    _backend(scheme, f"{scheme}:").abort(recovery, config)


def scheme_of(text: str) -> str:
    if not text or "\0" in text or not _is_utf8(text):
        raise UsageError(f"{text!r} is not the name of a destination", hint="give a path, - or a URL")
    if text == "-":
        return "-"
    if url := _URL.match(text):
        return url[1].lower()
    if _NEARLY_URL.match(text):
        raise _unknown(text)
    return "file"


def _is_utf8(text: str) -> bool:
    """Names go into the database and into JSON, which cannot hold the stray bytes of argv."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _backend(scheme: str, text: str) -> Backend:
    found = plugins.load(GROUP, scheme, BUILT_IN)
    if found is None:
        raise _unknown(text)
    return cast(Backend, found)


def _unknown(text: str) -> UsageError:
    schemes = [f"{name}://" for name in plugins.names(GROUP, BUILT_IN) if name != "-"]
    hint = f"known are a path, -, {', '.join(schemes)}"
    if "://" not in text:
        hint += f"; for a file of that name write ./{text}"
    return UsageError(f"{text} names no kind of destination that is known", hint=hint)
