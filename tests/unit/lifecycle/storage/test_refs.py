"""Names are completed as Podman completes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.errors import UsageError
from pyodcr.lifecycle.storage import refs
from pyodcr.lifecycle.storage.refs import Transport

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "local", "remote"),
    [
        ("redis", "localhost/redis:latest", "docker.io/library/redis:latest"),
        ("redis:7", "localhost/redis:7", "docker.io/library/redis:7"),
        ("bitnami/redis", "localhost/bitnami/redis:latest", "docker.io/bitnami/redis:latest"),
        ("docker.io/redis", "docker.io/library/redis:latest", "docker.io/library/redis:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "docker.io/a/b:latest"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x", "quay.io/a/b/c:x"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("host:5000/x", "host:5000/x:latest", "host:5000/x:latest"),
        ("Host.Example/x", "Host.Example/x:latest", "Host.Example/x:latest"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1"),
        (f"x@{DIGEST}", f"localhost/x@{DIGEST}", f"docker.io/library/x@{DIGEST}"),
        (f"q.io/x:tag@{DIGEST}", f"q.io/x@{DIGEST}", f"q.io/x@{DIGEST}"),
    ],
)
def test_completes_names(text: str, local: str, remote: str) -> None:
    assert str(refs.local(text)) == local
    assert str(refs.remote(text)) == remote
    assert [str(found) for found in refs.candidates(text)] == list(dict.fromkeys([local, remote]))


@pytest.mark.parametrize("text", ["redis", "bitnami/redis:7", "quay.io/a/b", f"host:5000/x@{DIGEST}"])
def test_a_parsed_name_is_written_as_it_was(text: str) -> None:
    assert str(refs.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "form"),
        ("a b", "form"),
        ("../x", "form"),
        ("x:", "form"),
        ("x//y", "form"),
        ("-x", "form"),
        ("x@sha256:12", "form"),
        ("Redis", "lower case"),
        ("Foo/bar", "lower case"),
        ("quay.io/Foo:Tag", "lower case"),
        ("ab" * 32, "an ID"),
        ("x" * 256, "longer"),
        ("x\n", "form"),
    ],
)
def test_says_what_is_wrong_with_a_name(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        refs.parse(text)
    assert caught.value.code == "invalid-reference"


@pytest.mark.parametrize(
    ("text", "skopeo"),
    [
        ("redis", "docker://docker.io/library/redis:latest"),
        ("docker://quay.io/x:1", "docker://quay.io/x:1"),
        ("docker:24", "docker://docker.io/library/docker:24"),
        ("host:5000/x", "docker://host:5000/x:latest"),
        ("oci:/a/b:tag", "oci:/a/b:tag"),
        ("dir:/a/b", "dir:/a/b"),
        ("containers-storage:localhost/x", "containers-storage:localhost/x"),
    ],
)
def test_sources_as_skopeo_names_them(text: str, skopeo: str) -> None:
    assert str(refs.source(text)) == skopeo


def test_a_path_ends_at_its_first_colon_except_in_dir() -> None:
    assert refs.source("oci:/a/b:x:1").path == Path("/a/b")
    assert refs.source("oci:/a/b:x:1").inner_name == "x:1"
    assert refs.source("dir:/a:b").path == Path("/a:b")
    assert refs.source("dir:/a:b").inner_name == ""
    assert refs.source("docker-archive:/a.tar").inner_name == ""
    assert not refs.source("x").transport.is_path
    assert refs.source("oci-archive:/a.tar").transport is Transport.OCI_ARCHIVE


def test_a_transport_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="which image"):
        refs.source("oci:")
