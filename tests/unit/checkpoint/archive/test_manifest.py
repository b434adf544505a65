from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint.archive import manifest
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.manifest import Frames, Manifest, ManifestEntry
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.errors import ArchiveInvalid

TOLD = Manifest(
    created=datetime(2026, 11, 23, 17, 0, tzinfo=UTC),
    entries=(
        ManifestEntry("config.dump", offset=512, size=3, sha256="ab" * 32),
        ManifestEntry("checkpoint", Kind.DIRECTORY, offset=1536),
        ManifestEntry("checkpoint/parent", Kind.SYMLINK, offset=2048, target="../pre-checkpoint"),
    ),
    headers="cd" * 32,
    frames=Frames(Compression.ZSTD, 3, "ef" * 32),
    source={"kernel": "6.18", "labels": ["a", None, 1, True]},
    times={"frozen": 0.25},
)


def test_the_document() -> None:
    """The form that others may read; a change here is a new version."""
    document = json.loads(manifest.render(TOLD))
    seal = document.pop("seal")
    assert document == {
        "version": 1,
        "created": "2026-11-23T17:00:00Z",
        "entries": [
            {"name": "config.dump", "offset": 512, "size": 3, "sha256": "ab" * 32},
            {"name": "checkpoint", "kind": "directory", "offset": 1536},
            {"name": "checkpoint/parent", "kind": "symlink", "offset": 2048, "target": "../pre-checkpoint"},
        ],
        "headers": "cd" * 32,
        "frames": {"compression": "zstd", "count": 3, "sha256": "ef" * 32},
        "source": {"kernel": "6.18", "labels": ["a", None, 1, True]},
        "times": {"frozen": 0.25},
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    assert seal == hashlib.sha256(body).hexdigest()


def test_what_is_rendered_is_parsed() -> None:
    assert manifest.parse(manifest.render(TOLD)) == TOLD


def test_facts_that_came_later_do_no_harm() -> None:
    body = json.loads(manifest.render(TOLD))
    del body["seal"]
    text = json.dumps({**body, "more": {"later": 1}}, separators=(",", ":")).encode()
    sealed = text[:-1] + b',"seal":"' + hashlib.sha256(text).hexdigest().encode() + b'"}'
    assert manifest.parse(sealed) == TOLD


@pytest.mark.parametrize("version", [2, 999])
def test_a_later_version_is_said_to_be_one(version: int) -> None:
    with pytest.raises(ArchiveInvalid, match=f"version {version}") as caught:
        manifest.parse(json.dumps({"version": version}).encode())
    assert caught.value.code == "archive-too-new"


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_document_passes_unsealed(document: bytes) -> None:
    with pytest.raises(ArchiveInvalid):
        manifest.parse(document)


@pytest.mark.parametrize(
    "change",
    [
        {"entries": None},
        {"entries": {}},
        {"entries": [1]},
        {"entries": [{"name": 1}]},
        {"entries": [{"name": "x", "size": "1"}]},
        {"entries": [{"name": "x", "kind": "socket"}]},
        {"frames": {"compression": "lz4"}},
        {"times": {"frozen": "soon"}},
        {"created": "yesterday"},
        {"version": True},
    ],
)
def test_a_sealed_document_of_another_form(change: dict[str, object]) -> None:
    body = json.loads(manifest.render(TOLD))
    del body["seal"]
    text = json.dumps(body | change, separators=(",", ":")).encode()
    sealed = text[:-1] + b',"seal":"' + hashlib.sha256(text).hexdigest().encode() + b'"}'
    with pytest.raises(ArchiveInvalid, match=r"pyodcr\.json") as caught:
        manifest.parse(sealed)
    assert caught.value.code == "archive-invalid"
