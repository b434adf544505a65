"""Which images there are, and by which names: one JSON file, replaced as a whole.

``index.json`` of the image store::

    {"version": 1, "images": [{"id", "names", "namesHistory", "digest", "digests", "layers", "size",
                               "manifestType", "annotations"}, ...]}

A :class:`Catalog` is a frozen value; its methods give a changed one. To write it is the commit point of every
change to the store: a layer or configuration that the catalog does not name is garbage. Looking up follows
Podman's ``LookupImage``: full ID, completed name, ID prefix, and last a repository that ends so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pyodcr import jsonio
from pyodcr.errors import Ambiguous, ImageInvalid, NotFound, Unsupported
from pyodcr.jsonio import key
from pyodcr.lifecycle.storage import refs
from pyodcr.lifecycle.storage.refs import Reference
from pyodcr.linux import files

VERSION = 1
_FULL_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_ID_PREFIX = re.compile(r"[0-9a-f]{1,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An image as the catalog holds it."""

    id: str = key("id")
    names: tuple[str, ...] = key("names", ())
    names_history: tuple[str, ...] = key("namesHistory", ())
    digest: str = key("digest", "")
    digests: tuple[str, ...] = key("digests", ())
    layers: tuple[str, ...] = key("layers", ())
    size_bytes: int = key("size", 0)
    manifest_type: str = key("manifestType", "")
    annotations: Mapping[str, str] = key("annotations", factory=dict)

    def answers_to(self, wanted: Reference) -> bool:
        if not wanted.digest:
            return str(wanted) in self.names
        return wanted.digest in self.digests and any(
            refs.parse(name).repository == wanted.repository for name in self.names
        )

    def ends_like(self, wanted: Reference) -> bool:
        """Whether a name's repository ends in ``wanted``'s, at a slash."""
        names = [refs.parse(name) for name in self.names]
        if wanted.digest:
            names = names if wanted.digest in self.digests else []
        else:
            names = [name for name in names if name.tag == (wanted.tag or "latest")]
        return any(name.repository.endswith(f"/{wanted.repository}") for name in names)


@dataclass(frozen=True, slots=True)
class Found:
    """An image, and the full name it was found by: empty if that was its ID."""

    record: Record
    name: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    records: tuple[Record, ...] = ()

    def get(self, image_id: str) -> Record | None:
        return next((record for record in self.records if record.id == image_id), None)

    def find(self, text: str) -> Found:
        """Raises :class:`NotFound`, :class:`Ambiguous`, or :class:`UsageError` where ``text`` can be no name."""
        full = _FULL_ID.fullmatch(text)
        found = self._by_id(full[1]) if full else self._by_name(text)
        if found is None:
            raise NotFound(f"{text}: image not known", reference=text)
        return found

    def _by_id(self, wanted: str) -> Found | None:
        for record in self.records:
            if record.id == wanted or f"sha256:{wanted}" in record.digests:
                return Found(record)
        return None

    def _by_name(self, text: str) -> Found | None:
        for candidate in refs.candidates(text):
            for record in self.records:
                if record.answers_to(candidate):
                    return Found(record, str(candidate))
        if _ID_PREFIX.fullmatch(text):
            found = _single(text, (record for record in self.records if record.id.startswith(text)))
            if found is not None:
                return Found(found)
        wanted = refs.parse(text)
        if wanted.domain:
            return None
        found = _single(text, (record for record in self.records if record.ends_like(wanted)))
        if found is None:
            return None
        return Found(found, next(name for name in found.names if replace(found, names=(name,)).ends_like(wanted)))

    def with_image(self, record: Record) -> Catalog:
        """Add an image, or ``record``'s names (newest first) and digests to it if known; its names leave all others."""
        known = self.get(record.id)
        if known is not None:
            record = replace(
                record,
                names=_merged(record.names, known.names),
                digests=_merged(record.digests, known.digests),
                names_history=known.names_history,
            )
        record = replace(record, names_history=_merged(record.names_history, reversed(record.names)))
        others = tuple(
            replace(other, names=tuple(name for name in other.names if name not in record.names))
            for other in self.records
            if other.id != record.id
        )
        return Catalog((*others, record))

    def without_name(self, image_id: str, name: str) -> Catalog:
        return Catalog(
            tuple(
                replace(record, names=tuple(kept for kept in record.names if kept != name))
                if record.id == image_id
                else record
                for record in self.records
            )
        )

    def without(self, image_id: str) -> Catalog:
        return Catalog(tuple(record for record in self.records if record.id != image_id))

    @property
    def layers(self) -> frozenset[str]:
        """Every layer that an image needs."""
        return frozenset(layer for record in self.records for layer in record.layers)


def _merged(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _single(text: str, records: Iterable[Record]) -> Record | None:
    found = list(records)
    if len(found) > 1:
        ids = ", ".join(record.id[:12] for record in found)
        raise Ambiguous(f'"{text}" fits several images: {ids}', reference=text)
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class _Document:
    version: int
    images: tuple[Record, ...] = ()


def load(path: Path) -> Catalog:
    """Read the catalog; where there is none yet, it is empty."""
    text = files.read(path)
    if text is None:
        return Catalog()
    try:
        version = jsonio.loads(text).get("version")
        if version != VERSION:
            raise Unsupported(f"{path} has the format {version}: this pyodcr knows only {VERSION}")
        return Catalog(jsonio.decode(_Document, jsonio.loads(text)).images)
    except jsonio.JsonInvalid as error:
        raise ImageInvalid(f"{path} is damaged: {error}") from error


def save(path: Path, catalog: Catalog) -> None:
    files.write(path, jsonio.dumps(jsonio.encode(_Document(VERSION, catalog.records)), indent=1))
