"""Looking up images by whatever a user may call them, and moving names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.errors import Ambiguous, ImageInvalid, NotFound, Unsupported, UsageError
from pyodcr.lifecycle.storage import catalog
from pyodcr.lifecycle.storage.catalog import Catalog, Record

REDIS = "abc1" + "0" * 60
ALPINE = "abc2" + "0" * 60
LOCAL = "fee1" + "0" * 60
DIGEST = "sha256:" + "d" * 64
LIST_DIGEST = "sha256:" + "e" * 64


def record(image_id: str, *names: str, digests: tuple[str, ...] = (), layers: tuple[str, ...] = ()) -> Record:
    return Record(id=image_id, names=names, digest="".join(digests[:1]), digests=digests, layers=layers)


@pytest.fixture
def known() -> Catalog:
    return Catalog(
        (
            record(REDIS, "docker.io/library/redis:7", "quay.io/team/redis:7", digests=(DIGEST, LIST_DIGEST)),
            record(ALPINE, "docker.io/library/alpine:latest", "quay.io/team/alpine:edge"),
            record(LOCAL, "localhost/tool:latest", "docker.io/library/fee1:latest"),
        )
    )


@pytest.mark.parametrize(
    ("text", "image_id", "name"),
    [
        ("alpine", ALPINE, "docker.io/library/alpine:latest"),
        ("tool", LOCAL, "localhost/tool:latest"),
        ("localhost/tool", LOCAL, "localhost/tool:latest"),
        ("redis:7", REDIS, "docker.io/library/redis:7"),
        ("team/redis:7", REDIS, "quay.io/team/redis:7"),
        ("alpine:edge", ALPINE, "quay.io/team/alpine:edge"),
        (f"redis@{DIGEST}", REDIS, f"docker.io/library/redis@{DIGEST}"),
        (f"quay.io/team/redis:any@{LIST_DIGEST}", REDIS, f"quay.io/team/redis@{LIST_DIGEST}"),
        (f"team/redis@{LIST_DIGEST}", REDIS, "docker.io/library/redis:7"),
        (REDIS, REDIS, ""),
        (f"sha256:{REDIS}", REDIS, ""),
        (DIGEST, REDIS, ""),
        ("abc1", REDIS, ""),
        ("abc10000000000", REDIS, ""),
        ("fee1", LOCAL, "docker.io/library/fee1:latest"),  # a name goes before an ID
    ],
)
def test_finds_an_image(known: Catalog, text: str, image_id: str, name: str) -> None:
    found = known.find(text)
    assert found.record.id == image_id
    if text.startswith("team/redis@"):
        assert found.name in found.record.names
    else:
        assert found.name == name


@pytest.mark.parametrize(
    "text",
    ["redis", "redis:8", "edis:7", "localhost/alpine", f"alpine@{DIGEST}", "f" * 64, "sha256:" + "1" * 64, "abcd"],
)
def test_unknown_images(known: Catalog, text: str) -> None:
    with pytest.raises(NotFound, match=f"{text}: image not known"):
        known.find(text)


def test_a_prefix_of_two_ids_is_ambiguous(known: Catalog) -> None:
    with pytest.raises(Ambiguous, match="abc100000000, abc200000000"):
        known.find("abc")


def test_an_ending_of_two_repositories_is_ambiguous() -> None:
    two = Catalog((record(REDIS, "a.io/x/tool:1"), record(ALPINE, "b.io/x/tool:1")))
    with pytest.raises(Ambiguous):
        two.find("tool:1")


def test_what_can_be_no_name_is_refused(known: Catalog) -> None:
    with pytest.raises(UsageError):
        known.find("Bad Name")


def test_a_name_belongs_to_one_image(known: Catalog) -> None:
    changed = known.with_image(record(LOCAL, "docker.io/library/alpine:latest"))
    assert changed.find("alpine").record.id == LOCAL
    alpine = changed.get(ALPINE)
    assert alpine is not None
    assert alpine.names == ("quay.io/team/alpine:edge",)
    local = changed.get(LOCAL)
    assert local is not None
    assert set(local.names) >= {"localhost/tool:latest", "docker.io/library/alpine:latest"}


def test_the_same_image_again_gains_names_and_digests(known: Catalog) -> None:
    changed = known.with_image(record(REDIS, "localhost/r:1", digests=("sha256:" + "f" * 64,)))
    redis = changed.get(REDIS)
    assert redis is not None
    assert redis.names == ("localhost/r:1", "docker.io/library/redis:7", "quay.io/team/redis:7")
    assert redis.digests == ("sha256:" + "f" * 64, DIGEST, LIST_DIGEST)
    assert redis.names_history[-1] == "localhost/r:1"
    assert len(changed.records) == len(known.records)


def test_a_name_that_was_taken_stays_in_the_history() -> None:
    first = Catalog().with_image(record(REDIS, "localhost/x:1")).with_image(record(ALPINE, "localhost/x:1"))
    old = first.get(REDIS)
    assert old is not None
    assert old.names == ()
    assert old.names_history == ("localhost/x:1",)


def test_layers_are_of_all_images() -> None:
    two = Catalog((record(REDIS, layers=("sha256:1", "sha256:2")), record(ALPINE, layers=("sha256:1",))))
    assert two.layers == {"sha256:1", "sha256:2"}
    assert two.without(REDIS).layers == {"sha256:1"}


def test_is_written_and_read_back(known: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    assert catalog.load(path) == Catalog()
    catalog.save(path, known)
    assert catalog.load(path) == known


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1, "images": [{}]}', '{"version": 1, "images": 3}'])
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(text)
    with pytest.raises(ImageInvalid, match=r"index\.json is damaged"):
        catalog.load(path)


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text('{"version": 2}')
    with pytest.raises(Unsupported, match="format 2"):
        catalog.load(path)
