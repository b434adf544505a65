"""What an archive calls its image."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import ImageInvalid, NotFound, UsageError
from pyodcr.lifecycle.storage import archivenames, refs


def archive(path: Path, members: Mapping[str, Any], *, compressed: bool = False) -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, value in members.items():
            blob = value if isinstance(value, bytes) else json.dumps(value).encode()
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    path.write_bytes(gzip.compress(stream.getvalue()) if compressed else stream.getvalue())
    return path


def names(ref: str) -> tuple[str, ...]:
    return archivenames.names(refs.source(ref))


@pytest.mark.parametrize("compressed", [False, True])
def test_all_tags_of_a_docker_archive(tmp_path: Path, compressed: bool) -> None:
    tags = [{"RepoTags": ["redis:7", "quay.io/x/redis:7"]}]
    path = archive(tmp_path / "a.tar", {"x.json": b"{}", "manifest.json": tags}, compressed=compressed)
    assert names(f"docker-archive:{path}") == ("quay.io/x/redis:7", "localhost/redis:7")
    assert names(f"docker-archive:{path}:redis:7") == ("localhost/redis:7",)
    assert names(f"docker-archive:{path}:nope") == ()


def test_an_image_without_tags(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"manifest.json": [{"RepoTags": None}]})
    assert names(f"docker-archive:{path}") == ()


def test_one_of_several_must_be_chosen(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"manifest.json": [{"RepoTags": ["a:1"]}, {}]})
    with pytest.raises(UsageError, match="2 images") as caught:
        names(f"docker-archive:{path}")
    assert "a:1, @1" in str(caught.value.hint)
    assert names(f"docker-archive:{path}:@0") == ("localhost/a:1",)
    assert names(f"docker-archive:{path}:@7") == ()


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"org.opencontainers.image.ref.name": "quay.io/x/y:1"}, ("quay.io/x/y:1",)),
        (
            {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/x/y:1"},
            ("docker.io/x/y:1",),
        ),
        ({}, ()),
        (None, ()),
        ({"org.opencontainers.image.ref.name": 3}, ()),
    ],
)
def test_the_annotation_of_an_oci_archive(tmp_path: Path, annotations: object, expected: tuple[str, ...]) -> None:
    path = archive(tmp_path / "a.tar", {"./index.json": {"manifests": [{"annotations": annotations}]}})
    assert names(f"oci-archive:{path}") == expected


def test_an_oci_layout_is_called_what_was_asked_for() -> None:
    assert names("oci:/some/dir:tool:2") == ("docker.io/library/tool:2",)
    assert names("oci:/some/dir") == ()
    assert names("dir:/some/dir") == ()
    assert names("containers-storage:[overlay@/a+/b]quay.io/x:1") == ("quay.io/x:1",)
    assert names("docker-daemon:redis:7") == ("docker.io/library/redis:7",)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"\x1f\x8b\x08broken", b"BZhbroken"],
)
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    for transport in ("docker-archive", "oci-archive"):
        with pytest.raises(ImageInvalid):
            names(f"{transport}:{path}")


@pytest.mark.parametrize(
    "manifest", [b"", b"{", b"[" * 100_000, {}, [3], {"RepoTags": ["x"]}, [{"RepoTags": ["Bad Name"]}]]
)
def test_hostile_contents(tmp_path: Path, manifest: object) -> None:
    path = archive(tmp_path / "a.tar", {"manifest.json": manifest})
    with pytest.raises((ImageInvalid, UsageError)):
        names(f"docker-archive:{path}")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        names(f"oci-archive:{tmp_path}/none")
