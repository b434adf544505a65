from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from typer import BadParameter

from pyodcr.cli import image, stores
from pyodcr.errors import Conflict, NotFound, PyodcrError, UsageError
from pyodcr.lifecycle.storage import imageinspect
from pyodcr.lifecycle.storage.images import Image, ImageConfig

NOW = datetime(2024, 5, 1, tzinfo=UTC)
IMAGE = Image(
    id="ab" * 32,
    names=("docker.io/library/redis:7", "localhost/redis:old"),
    digest="sha256:" + "d" * 64,
    size_bytes=1_234_567,
    layers=(),
    config=ImageConfig(),
    architecture="amd64",
    os="linux",
    created=NOW - timedelta(days=3),
)


def test_a_row_for_each_name() -> None:
    entry = imageinspect.summary(IMAGE, containers=1) | {"Tags": imageinspect.repositories_and_tags(IMAGE)}
    first, second = image.rows_of(entry, NOW, short=True)
    assert [(row["Repository"], row["Tag"]) for row in (first, second)] == [
        ("docker.io/library/redis", "7"),
        ("localhost/redis", "old"),
    ]
    assert (first["ID"], first["Created"], first["Size"]) == ("ab" * 6, "3 days ago", "1.23 MB")
    assert next(iter(image.rows_of(entry, NOW, short=False)))["ID"] == "sha256:" + "ab" * 32


def test_an_empty_store(said: Callable[..., str], status: list[int]) -> None:
    assert said("image", "ls").split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert said("image", "ls", "--quiet") == said("image", "ls", "--noheading") == ""
    assert said("image", "ls", "--format", "json") == "[]\n"
    assert said("image", "inspect", "nobody") == "[]\n"
    assert status == [125]
    said("image", "rm", "nobody")
    assert status == [1]
    for words in (("--ignore", "nobody"), ("--force", "nobody"), ("--all",)):
        said("image", "rm", *words)
        assert status == [0]


def test_what_makes_no_sense(said: Callable[..., str]) -> None:
    for words in (
        ("rm",),
        ("rm", "--all", "x"),
        ("pull",),
        ("inspect",),
        ("ls", "x", "--filter", "dangling=true"),
        ("ls", "--filter", "colour=red"),
        ("import", "/etc", "UPPER"),
        ("import", "/etc"),
    ):
        with pytest.raises(UsageError):
            said("image", *words)
    with pytest.raises(BadParameter, match="created"):
        said("image", "ls", "--sort", "colour")
    with pytest.raises(NotFound, match="there is no such file"):
        said("image", "import", "/no/such/file")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x: image not known"), 1),
        (Conflict("in use", code="image-in-use"), 2),
        (Conflict("several names", code="image-names"), 125),
    ],
)
def test_removal_status(error: PyodcrError, status: int) -> None:
    assert stores.removal_status(error) == status


def test_pairs() -> None:
    assert stores.pairs(["a=b=c", "d", "a=e"], "label") == {"a": "e", "d": ""}
    assert stores.pairs(None, "label") == {}
    with pytest.raises(UsageError, match='invalid label "=b"'):
        stores.pairs(["=b"], "label")
