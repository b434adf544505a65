"""The images of CRIU that we read and write ourselves (CRIU's own: tests/integration/test_criu.py)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pyodcr.checkpoint import criu
from pyodcr.checkpoint.criu import DumpStats, Lsm, NetworkLock
from pyodcr.errors import ArchiveInvalid, SystemFailed

STATS = DumpStats(
    freezing_time_us=101_437,
    frozen_time_us=35_002,
    memdump_time_us=7_411,
    memwrite_time_us=1_902,
    pages_scanned=2_301,
    pages_written=61,
    irmap_resolve_us=12,
    page_pipes=2,
    page_pipe_bufs=2,
    shpages_scanned=33,
)


def test_written_statistics_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "stats-dump").write_bytes(criu.stats_dump(STATS))
    assert criu.read_stats_dump(tmp_path / "stats-dump") == STATS


def test_a_time_too_long_for_the_format_is_its_longest(tmp_path: Path) -> None:
    (tmp_path / "stats-dump").write_bytes(criu.stats_dump(DumpStats(frozen_time_us=1 << 40)))
    assert criu.read_stats_dump(tmp_path / "stats-dump").frozen_time_us == (1 << 32) - 1


def test_statistics_of_a_dump_are_none_of_a_restore(tmp_path: Path) -> None:
    (tmp_path / "stats-dump").write_bytes(criu.stats_dump(STATS))
    with pytest.raises(ArchiveInvalid, match="no statistics of a restore"):
        criu.read_stats_restore(tmp_path / "stats-dump")


def _image(magic: int, content: bytes, *, size: int | None = None) -> bytes:
    return struct.pack("<III", criu.IMG_SERVICE_MAGIC, magic, len(content) if size is None else size) + content


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "damaged"),
        (b"\x40\x59\x10", "damaged"),
        (_image(criu.STATS_MAGIC, b"")[:8], "damaged"),
        (_image(criu.STATS_MAGIC, b"\x0a\x02\x08", size=4000), "cut short"),
        (_image(criu.STATS_MAGIC, b"\x0a\x05\x08"), "damaged"),
        (_image(criu.INVENTORY_MAGIC, b""), "not the CRIU image"),
        (_image(criu.STATS_MAGIC, b""), "no statistics of a dump"),
        (b"#!/bin/sh\nrm -rf /\n", "not the CRIU image"),
    ],
)
def test_a_damaged_image_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "stats-dump"
    path.write_bytes(data)
    with pytest.raises(ArchiveInvalid, match=says):
        criu.read_stats_dump(path)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemFailed, match="cannot read"):
        criu.read_stats_dump(tmp_path / "stats-dump")


def test_inventory(tmp_path: Path) -> None:
    content = bytes.fromhex("08 02  10 01  20 01  28 01  30 01  40 95 9a ef 3a  50 00  58 01  6a 04") + b"a-id"
    (tmp_path / "inventory.img").write_bytes(struct.pack("<II", criu.INVENTORY_MAGIC, len(content)) + content)
    found = criu.inventory(tmp_path / "inventory.img")
    assert (found.image_version, found.lsm, found.tcp_close) == (2, Lsm.SELINUX, False)
    assert (found.network_lock, found.criu_run_id) == (NetworkLock.NFTABLES, "a-id")


def test_an_inventory_without_a_lock_method_was_locked_with_iptables(tmp_path: Path) -> None:
    (tmp_path / "inventory.img").write_bytes(struct.pack("<II", criu.INVENTORY_MAGIC, 2) + b"\x08\x02")
    assert criu.inventory(tmp_path / "inventory.img").network_lock is NetworkLock.IPTABLES


@pytest.mark.parametrize("content", [b"\x30\x09", b"\x58\x07"])
def test_an_inventory_of_a_newer_criu_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "inventory.img").write_bytes(struct.pack("<II", criu.INVENTORY_MAGIC, len(content)) + content)
    with pytest.raises(ArchiveInvalid, match="newer"):
        criu.inventory(tmp_path / "inventory.img")
