"""The keys and values that Podman's users script against."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pyodcr.lifecycle.storage import imageinspect
from pyodcr.lifecycle.storage.images import Healthcheck, History, Image, ImageConfig
from pyodcr.lifecycle.storage.manifest import DOCKER_MANIFEST, OCI_MANIFEST

DIGEST = "sha256:" + "d" * 64
LIST = "sha256:" + "e" * 64
IMAGE = Image(
    id="a" * 64,
    names=("docker.io/library/x:1", "quay.io/x:1", f"quay.io/y@{LIST}"),
    names_history=("docker.io/library/x:1", "docker.io/library/x:0"),
    digest=DIGEST,
    digests=(DIGEST, LIST),
    size_bytes=1234,
    layers=("sha256:1", "sha256:2", "sha256:3"),
    config=ImageConfig(user="me", cmd=("sh",), labels={"a": "b"}, healthcheck=Healthcheck(test=("NONE",))),
    architecture="amd64",
    os="linux",
    created=datetime(2024, 1, 2, tzinfo=UTC),
    history=(History(comment="first", created_by="x"), History(empty_layer=True)),
    manifest_type=OCI_MANIFEST,
    annotations={"io.podman.annotations.checkpoint.name": "c"},
    comment="of docker",
)
BARE = Image(
    id="b" * 64, names=(), digest=DIGEST, size_bytes=0, layers=(), config=ImageConfig(), architecture="", os=""
)


def test_inspect() -> None:
    shown = imageinspect.inspect(IMAGE, [Path("/l/3"), Path("/l/2"), Path("/l/1")])
    assert list(shown) == [
        *("Id", "Digest", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Config", "Version", "Author"),
        *("Architecture", "Os", "Size", "VirtualSize", "GraphDriver", "RootFS", "Labels", "Annotations"),
        *("ManifestType", "User", "History", "NamesHistory", "Healthcheck"),
    ]
    assert shown["RepoTags"] == ["docker.io/library/x:1", "quay.io/x:1"]
    assert shown["RepoDigests"] == sorted(
        f"{repository}@{digest}"
        for repository in ("docker.io/library/x", "quay.io/x", "quay.io/y")
        for digest in (DIGEST, LIST)
    )
    assert shown["Created"] == "2024-01-02T00:00:00Z"
    assert shown["Config"] == {"User": "me", "Cmd": ["sh"], "Labels": {"a": "b"}}
    assert shown["Healthcheck"] == {"Test": ["NONE"]}
    assert shown["GraphDriver"] == {"Name": "overlay", "Data": {"LowerDir": "/l/2:/l/1", "UpperDir": "/l/3"}}
    assert shown["RootFS"] == {"Type": "layers", "Layers": ["sha256:1", "sha256:2", "sha256:3"]}
    assert shown["History"] == [{"created_by": "x", "comment": "first"}, {"empty_layer": True}]
    assert shown["Comment"] == "first"


def test_a_docker_image_has_its_comment_elsewhere() -> None:
    docker = Image(
        **{
            name: getattr(IMAGE, name)
            for name in ("id", "names", "digest", "size_bytes", "layers", "config", "architecture", "os", "history")
        },
        comment="of docker",
        manifest_type=DOCKER_MANIFEST,
    )
    assert imageinspect.inspect(docker, [])["Comment"] == "of docker"


def test_summary() -> None:
    shown = imageinspect.summary(IMAGE, containers=3)
    assert (shown["Id"], shown["Containers"], shown["Size"]) == ("a" * 64, 3, 1234)
    assert shown["Names"] == list(IMAGE.names)
    assert shown["History"] == list(IMAGE.names_history)
    assert (shown["Created"], shown["CreatedAt"]) == (1704153600, "2024-01-02T00:00:00Z")
    assert "Dangling" not in shown


def test_an_image_without_anything() -> None:
    shown = imageinspect.summary(BARE, containers=0)
    assert (shown["Dangling"], shown["RepoTags"], shown["Labels"], shown["Created"]) == (True, None, None, 0)
    assert imageinspect.inspect(BARE, [])["Created"] == "0001-01-01T00:00:00Z"


def test_rows_of_a_table() -> None:
    assert imageinspect.repositories_and_tags(IMAGE) == [("docker.io/library/x", "1"), ("quay.io/x", "1")]
    assert imageinspect.repositories_and_tags(BARE) == [("<none>", "<none>")]
