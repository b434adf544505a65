"""Why an archive is refused: one :class:`ArchiveInvalid`, six words.

===================  ==================================================================================
archive-truncated    it ends too early; ``offset`` says where, in bytes
archive-tampered     a checksum, a hash or the form that pyodcr writes does not hold: damage, or a forger
archive-invalid      not as tar, zstd or pyodcr.json have to be
archive-foreign      whole, perhaps, but not a checkpoint of Podman or pyodcr
archive-hostile      made to escape the directory or to exhaust the reader
archive-too-new      written by a later pyodcr
===================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

from pyodcr.errors import ArchiveInvalid

SHOWN_CHARS = 120

_TAKE_ANOTHER = "copy it again, or take another export"


def shown(name: object) -> str:
    """A name out of an archive, fit for a terminal: quoted, escaped, and no longer than a line."""
    text = repr(name)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def truncated(offset: int) -> ArchiveInvalid:
    what = f"the archive is cut short at byte {offset}"
    return _refusal(what, {"offset": offset}, code="archive-truncated", hint=_TAKE_ANOTHER)


def tampered(what: str, **details: object) -> ArchiveInvalid:
    what = f"the archive is damaged or was changed: {what}"
    return _refusal(what, details, code="archive-tampered", hint=_TAKE_ANOTHER)


def malformed(what: str, **details: object) -> ArchiveInvalid:
    return _refusal(f"the archive is malformed: {what}", details)


def foreign(what: str) -> ArchiveInvalid:
    return _refusal(
        f"not a checkpoint archive of podman or pyodcr: {what}",
        {},
        code="archive-foreign",
        hint="give an archive made by 'pyodcr checkpoint --export' or 'podman container checkpoint --export'",
    )


def hostile(what: str, **details: object) -> ArchiveInvalid:
    return _refusal(f"the archive is refused as hostile: {what}", details, code="archive-hostile")


def too_new(version: int) -> ArchiveInvalid:
    return _refusal(
        f"the archive has format version {version}, which this pyodcr does not know",
        {"version": version},
        code="archive-too-new",
        hint="restore it with a newer pyodcr",
    )


def _refusal(
    message: str, details: Mapping[str, object], *, code: str | None = None, hint: str | None = None
) -> ArchiveInvalid:
    error = ArchiveInvalid(message, code=code, hint=hint)
    error.details.update(details)
    return error
