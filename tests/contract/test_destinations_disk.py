"""A disk that is full, or read-only: a small one is mounted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.checkpoint.destinations import Destination, resolve
from pyodcr.config import Config
from pyodcr.errors import DestinationError
from pyodcr.linux import mounts

pytestmark = pytest.mark.root
MIB = 1 << 20


def archive(path: Path) -> Destination:
    return resolve(str(path), Config())


def store(destination: Destination, content: bytes) -> None:
    with destination.put() as upload:
        upload.write(content)
        upload.commit()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts.mount("tmpfs", disk, "tmpfs", options="size=4m")
    try:
        yield disk
    finally:
        mounts.unmount(disk)


@pytest.mark.parametrize("flag", [os.O_TMPFILE, os.O_DIRECTORY])  # the second: without unnamed files, by a name
def test_a_full_disk(small_disk: Path, flag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", flag)
    store(archive(small_disk / "c"), b"old")
    with pytest.raises(DestinationError) as caught:
        store(archive(small_disk / "c"), bytes(5 * MIB))
    assert caught.value.code == "no-space"
    assert caught.value.message == f"cannot write {small_disk}/c: no space left on device"
    assert (small_disk / "c").read_bytes() == b"old"
    assert os.listdir(small_disk) == ["c"]
    store(archive(small_disk / "c"), bytes(3 * MIB))  # the space is free again


def test_a_read_only_disk(small_disk: Path) -> None:
    mounts.mount("tmpfs", small_disk, "tmpfs", mounts.MS_REMOUNT | mounts.MS_RDONLY)
    with pytest.raises(DestinationError) as caught:
        archive(small_disk / "c").check()
    assert caught.value.code == "destination-denied"
    assert caught.value.message == f"cannot write {small_disk}/c: read-only file system"
