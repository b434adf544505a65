from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint import staging
from pyodcr.checkpoint.staging import Choice, Medium, Room, choose
from pyodcr.config import Staging
from pyodcr.errors import Unsupported
from pyodcr.linux.memory import Limit

MIB = 1 << 20
GIB = 1 << 30
HOST = Room(available_bytes=8 * GIB, total_bytes=16 * GIB)  # a tenth of the host is not ours: 6.4 GiB are
TIGHT = Room(HOST.available_bytes, HOST.total_bytes, [Limit(Path("/roomy"), 7 * GIB), Limit(Path("/tight"), 2 * GIB)])


def test_there_is_room_in_memory() -> None:
    choice = choose(Staging.AUTO, HOST, 2 * GIB, kept=False)
    assert choice.medium is Medium.MEMORY
    assert choice.size_bytes == 2 * GIB + GIB // 2 + staging.BESIDE_BYTES


def test_the_tmpfs_is_never_larger_than_what_may_be_taken() -> None:
    choice = choose(Staging.AUTO, HOST, 5 * GIB + GIB // 2, kept=False)
    assert choice.medium is Medium.MEMORY
    assert choice.size_bytes == HOST.available_bytes - HOST.total_bytes // 10


@pytest.mark.parametrize("room", [HOST, TIGHT])
def test_images_that_stay_are_on_disk(room: Room) -> None:
    for wish in Staging:
        assert choose(wish, room, 0, kept=True).medium is Medium.DISK


def test_the_disk_if_it_is_wished() -> None:
    assert choose(Staging.DISK, HOST, 0, kept=False).medium is Medium.DISK


@pytest.mark.parametrize(
    ("room", "need", "whose"), [(HOST, 6 * GIB, "the host"), (TIGHT, 1800 * MIB, "the limit of /tight")]
)
def test_no_room_in_memory(room: Room, need: int, whose: str) -> None:
    choice = choose(Staging.AUTO, room, need, kept=False)
    assert choice.medium is Medium.DISK
    assert f"{whose} leaves" in choice.why
    with pytest.raises(Unsupported) as caught:
        choose(Staging.MEMORY, room, need, kept=False)
    assert caught.value.code == "no-memory"
    assert whose in caught.value.message


@given(
    st.integers(0, 64 * GIB),
    st.integers(256 * MIB, 128 * GIB),
    st.integers(0, 64 * GIB),
    st.lists(st.integers(0, 64 * GIB), max_size=3),
)
def test_what_is_chosen_fits(available: int, total: int, need: int, limits: list[int]) -> None:
    room = Room(min(available, total), total, [Limit(Path(f"/{number}"), free) for number, free in enumerate(limits)])
    choice = choose(Staging.AUTO, room, need, kept=False)
    if choice.medium is Medium.MEMORY:
        assert need + need // 8 + staging.BESIDE_BYTES <= choice.size_bytes
        assert choice.size_bytes + staging.HOST_BYTES <= room.available_bytes
        assert all(choice.size_bytes + staging.OURS_BYTES <= free for free in limits)


def test_each_medium_has_a_place_of_its_own(tmp_path: Path) -> None:
    assert staging.images_directory(tmp_path, Choice(Medium.MEMORY, "")) == tmp_path / "memory/checkpoint"
    assert staging.prepare(tmp_path, Choice(Medium.DISK, "")) == tmp_path / "checkpoint"
    assert (tmp_path / "checkpoint").stat().st_mode & 0o777 == 0o700
