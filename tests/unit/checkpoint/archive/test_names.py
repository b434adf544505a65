from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint.archive import names
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.errors import ArchiveInvalid


@pytest.mark.parametrize(
    "name",
    [
        "config.dump",
        "spec.dump",
        "network.status",
        "stats-dump",
        "devshm-checkpoint.tar",
        "ctr.log",
        "rootfs-diff.tar",
        "deleted.files",
        "pyodcr.json",
        "artifacts/passwd",
        "checkpoint/descriptors.json",
        "checkpoint/tmpfs-dev-45.tar.gz.img",
        "checkpoint/tcp-stream-1a2b.img",
        "pre-checkpoint/pages-1.img",
        "volumes/0f3c.tar",
        "volumes/My_volume-1.2.tar",
    ],
)
def test_files_of_podman_and_ours(name: str) -> None:
    names.check(name, Kind.FILE)
    with pytest.raises(ArchiveInvalid):
        names.check(name, Kind.DIRECTORY)
    with pytest.raises(ArchiveInvalid):
        names.check(name, Kind.SYMLINK, "../pre-checkpoint")


@pytest.mark.parametrize("name", ["checkpoint", "pre-checkpoint", "artifacts", "volumes"])
def test_directories(name: str) -> None:
    names.check(name, Kind.DIRECTORY)


def test_the_one_symlink() -> None:
    names.check("checkpoint/parent", Kind.SYMLINK, "../pre-checkpoint")
    with pytest.raises(ArchiveInvalid):
        names.check("pre-checkpoint/parent", Kind.SYMLINK, "../pre-checkpoint")


@pytest.mark.parametrize("name", sorted(names.FOREIGN))
def test_foreign_files_are_named_as_such(name: str) -> None:
    with pytest.raises(ArchiveInvalid) as caught:
        names.check(name, Kind.FILE)
    assert caught.value.code == "archive-foreign"
    assert "CRI-O or containerd" in caught.value.message


@given(st.text(), st.sampled_from(Kind), st.text())
def test_what_passes_stays_below(name: str, kind: Kind, target: str) -> None:
    for candidate in (name, f"checkpoint/{name}", f"volumes/{name}.tar", f"{name}/config.dump"):
        try:
            names.check(candidate, kind, target)
        except ArchiveInvalid:
            continue
        parts = candidate.split("/")
        assert len(parts) <= 2
        assert not {"", ".", ".."} & set(parts)
        assert candidate.isprintable()
        assert kind is not Kind.SYMLINK


def test_completeness() -> None:
    names.check_complete({"config.dump", "spec.dump"})
    with pytest.raises(ArchiveInvalid, match=r"no spec\.dump"):
        names.check_complete({"config.dump"})
