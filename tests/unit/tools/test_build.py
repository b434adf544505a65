"""What a build says when it fails, what it keeps, and what it takes along of pip's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.hosts import recipe
from tools.hosts.cache import Cache, clean, prune
from tools.hosts.errors import HostError
from tools.hosts.steps import failure
from tools.hosts.venv import local_paths


def test_a_failed_download_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("E: Failed to fetch of an earlier step\n")
    offset = log.stat().st_size
    with log.open("a") as stream:
        stream.write("Get:1 http://m.test a\nE: Failed to fetch http://m.test/b.deb  404\nmore\n")
    error = failure("packages", log, offset=offset)
    assert str(error) == "packages: download failed\n  E: Failed to fetch http://m.test/b.deb  404"
    assert str(log) in (error.hint or "")


def test_any_other_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(40)))
    message = str(failure("packages", log, offset=0))
    assert "line 39" in message
    assert "line 20" not in message


def test_the_tree_has_another_name_when_its_recipe_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.key()
    assert recipe.key() == before
    monkeypatch.setattr(recipe, "BASE_PACKAGES", (*recipe.BASE_PACKAGES, "one-more"))
    assert recipe.key() != before


def test_old_trees_go_unless_they_are_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name in ("tree-new", "tree-old", "tree-lately", "tree-busy"):
        cache.directory(name)
    for name in ("tree-old", "tree-lately", "tree-busy"):
        with cache.using(tmp_path / name):
            pass
    for name in ("tree-old", "tree-busy"):
        os.utime(tmp_path / f"{name}.use", (0, 0))
    busy = tmp_path / "tree-busy"
    with cache.using(busy):
        os.utime(tmp_path / "tree-busy.use", (0, 0))
        prune(cache, "tree-", keep="tree-new")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["tree-busy", "tree-lately", "tree-new"]


def test_a_cache_in_use_is_not_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.using(cache.directory("tree-a")), pytest.raises(HostError, match="in use"):
        clean(cache)
    assert (cache.root / "tree-a").is_dir()
    clean(cache)
    assert not cache.root.exists()


def test_the_directories_that_pip_is_configured_with_are_found(tmp_path: Path) -> None:
    for name in ("wheels", "index/simple", "index/files", "certs"):
        (tmp_path / name).mkdir(parents=True)
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nfind-links = {tmp_path}/wheels\nextra-index-url = file://{tmp_path}/index/simple https://pypi.test/s\n"
    )
    found = local_paths([config], [f"{tmp_path}/certs", "180", "/", f"{tmp_path}/missing"])
    assert found == [tmp_path / "certs", tmp_path / "index", tmp_path / "wheels"]
