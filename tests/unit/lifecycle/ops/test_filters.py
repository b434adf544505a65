"""Which images, volumes and networks ``--filter`` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyodcr.errors import NotFound, UsageError
from pyodcr.lifecycle.models import Volume
from pyodcr.lifecycle.network.definitions import Network
from pyodcr.lifecycle.ops import filters
from pyodcr.lifecycle.storage.images import Image, ImageConfig


def image(name: str, day: int, *names: str, **labels: str) -> Image:
    return Image(
        id=name * 64,
        names=names,
        digest="",
        size_bytes=0,
        layers=(),
        config=ImageConfig(labels=labels),
        architecture="",
        os="",
        created=datetime(2024, 1, day, tzinfo=UTC),
    )


OLD = image("a", 1, "docker.io/library/redis:7", "localhost/mine:7", tier="back")
MIDDLE = image("b", 2, "quay.io/team/app:latest", "quay.io/team/app:2", tier="front", lang="py")
NEW = image("c", 3)
IMAGES = (NEW, MIDDLE, OLD)


def lookup(ref: str) -> Image:
    for found in IMAGES:
        if ref in found.names:
            return found
    raise NotFound(f"{ref}: image not known")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "cba"),
        (["dangling=true"], "c"),
        (["dangling=false"], "ba"),
        (["id=bbb"], "b"),
        (["id=sha256:bbb", "id=a"], "ba"),
        (["label=tier"], "ba"),
        (["label=tier=front", "label=lang"], "b"),
        (["label=tier=back", "label=lang"], ""),
        (["before=quay.io/team/app:2"], "a"),
        (["since=quay.io/team/app:2"], "c"),
        (["after=docker.io/library/redis:7", "dangling=false"], "b"),
    ],
)
def test_images(words: Sequence[str], expected: str) -> None:
    assert "".join(found.id[0] for found in filters.images(IMAGES, words, lookup)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("redis", ["docker.io/library/redis:7"]),
        ("redis:7", ["docker.io/library/redis:7"]),
        ("redis:8", []),
        ("library/redis", ["docker.io/library/redis:7"]),
        ("docker.io/library/redis:7", ["docker.io/library/redis:7"]),
        ("*:7", ["docker.io/library/redis:7", "localhost/mine:7"]),
        ("team/app:*", ["quay.io/team/app:latest", "quay.io/team/app:2"]),
        ("quay.io/*", []),  # an asterisk stops at a slash
        ("quay.io/*/*", ["quay.io/team/app:latest", "quay.io/team/app:2"]),
        ("edis", []),
    ],
)
def test_a_reference_chooses_the_names_too(pattern: str, expected: Sequence[str]) -> None:
    found = filters.images(IMAGES, [f"reference={pattern}"], lookup)
    assert sorted(name for one in found for name in one.names) == sorted(expected)


def volume(name: str, *, anonymous: bool = False, **labels: str) -> Volume:
    return Volume(name=name, mountpoint=Path("/v") / name, labels=labels, anonymous=anonymous)


VOLUMES = (volume("data1", kind="db"), volume("data2"), volume("f" * 64, anonymous=True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["data1", "data2", "f" * 64]),
        (["name=data"], ["data1", "data2"]),
        (["name=1$", "name=^f"], ["data1", "f" * 64]),
        (["label=kind=db"], ["data1"]),
        (["dangling=true"], ["data2", "f" * 64]),
        (["dangling=false"], ["data1"]),
        (["anonymous=true"], ["f" * 64]),
        (["driver=local", "name=2"], ["data2"]),
        (["driver=nfs"], []),
    ],
)
def test_volumes(words: Sequence[str], expected: Sequence[str]) -> None:
    assert [found.name for found in filters.volumes(VOLUMES, words, {"data1"})] == expected


NETWORKS = (Network(name="front", id="1a" * 32, labels={"a": "b"}), Network(name="back", id="2b" * 32))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["front", "back"]),
        (["name=^b"], ["back"]),
        (["id=1a1"], ["front"]),
        (["id=a1"], []),
        (["label=a"], ["front"]),
        (["driver=bridge", "dangling=1"], ["front"]),
    ],
)
def test_networks(words: Sequence[str], expected: Sequence[str]) -> None:
    assert [found.name for found in filters.networks(NETWORKS, words, {"back"})] == expected


@pytest.mark.parametrize("word", ["dangling=maybe", "size=3", "dangling", "name=["])
def test_what_is_no_filter(word: str) -> None:
    with pytest.raises(UsageError):
        filters.volumes(VOLUMES, [word], ())
    with pytest.raises(UsageError):
        filters.networks(NETWORKS, [word], ())
    with pytest.raises(UsageError):
        filters.images(IMAGES, [word], lookup)


def test_an_image_that_a_filter_names_must_exist() -> None:
    with pytest.raises(NotFound):
        filters.images(IMAGES, ["before=nobody"], lookup)
