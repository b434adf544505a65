from __future__ import annotations

import io
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyodcr.checkpoint import follow
from pyodcr.checkpoint.archive import writer
from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.checkpoint.archive.reader import ArchiveReader
from pyodcr.checkpoint.archive.writer import ArchiveWriter
from pyodcr.checkpoint.destinations import resolve
from pyodcr.checkpoint.destinations.base import Upload
from pyodcr.checkpoint.destinations.gaps import patient, release
from pyodcr.checkpoint.follow import Follower
from pyodcr.config import Config
from pyodcr.errors import SystemFailed
from pyodcr.jsonio import now

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MIB = 1 << 20
WAIT_S = 30.0
CREATED = now()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    return directory


class Archive:
    """An archive on its way to a file, or through a pipe's spool."""

    def __init__(self, directory: Path, images: Path, *, compression: Compression = Compression.ZSTD) -> None:
        self.path = directory / "archive"
        self.images = images
        self.compression = compression

    def make(
        self, *, give_back: bool = True, ordered: bool = False, writing: Callable[[Follower], None] | None = None
    ) -> bytes:
        """``writing``, called with the running follower, makes the images; without it they are there already."""
        with resolve(str(self.path), Config()).put() as upload:
            sink = patient(upload, self.images.parent)
            if ordered:
                sink = patient(InOrder(upload), self.images.parent)
            with (
                ArchiveWriter(sink, compression=self.compression, created=CREATED) as archive,
                Follower(self.images, archive, give_back=give_back) as follower,
            ):
                archive.add_bytes("config.dump", b"{}")
                archive.add_bytes("spec.dump", b"{}")
                archive.add_directory("checkpoint")
                if writing is not None:
                    follower.start()
                    writing(follower)
                    follower.complete()
                done = follower.finish()
                release(sink)
                for image in sorted(self.images.iterdir()):
                    if image.name not in done:
                        archive.add_file(f"checkpoint/{image.name}", image)
                archive.finish({}, {})
            upload.commit()
        return self.path.read_bytes()


class InOrder:
    """An upload without gaps, as a pipe is one."""

    def __init__(self, upload: Upload) -> None:
        self.write, self.recovery, self.commit = upload.write, upload.recovery, upload.commit


def write_slowly(path: Path, content: bytes, pieces: int) -> None:
    cuts = sorted(random.Random(pieces).randrange(len(content) + 1) for _ in range(pieces))
    with path.open("wb", buffering=0) as image:
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            image.write(content[start:end])
            time.sleep(0.0005)


def contents(data: bytes) -> dict[str, bytes]:
    found = {entry.name: entry.read() for entry in ArchiveReader(io.BytesIO(data)) if entry.name.startswith("check")}
    found.pop("checkpoint")
    return {name.removeprefix("checkpoint/"): content for name, content in found.items()}


IMAGES = {
    "pages-1.img": os.urandom(9 * MIB) + bytes(3 * MIB) + b"end",
    "pages-2.img": b"small",
    "pages-3.img": b"",
    "pages-4.img": bytes(8 * MIB),
    "core-1.img": b"core",
    "inventory.img": b"inventory",
}


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("ordered", [False, True], ids=["file", "pipe"])
def test_followed_or_not_the_archive_is_the_same(
    tmp_path: Path, images: Path, compression: Compression, ordered: bool
) -> None:
    def criu(follower: Follower) -> None:
        for name, content in IMAGES.items():
            write_slowly(images / name, content, 20)

    archive = Archive(tmp_path, images, compression=compression)
    followed = archive.make(writing=criu, give_back=False, ordered=ordered)
    assert contents(followed) == IMAGES
    assert {path.name: path.read_bytes() for path in images.iterdir()} == IMAGES
    assert archive.make(give_back=False) == followed


def test_what_was_read_is_given_back(tmp_path: Path, images: Path) -> None:
    image = images / "pages-1.img"
    content = os.urandom(33 * MIB)

    def held() -> int:
        return image.stat().st_blocks * 512

    def criu(follower: Follower) -> None:
        with image.open("wb", buffering=0) as file:
            for start in range(0, len(content), MIB):
                file.write(content[start : start + MIB])
                wait_until(lambda: held() <= 16 * MIB)

    assert contents(Archive(tmp_path, images).make(writing=criu)) == {"pages-1.img": content}
    assert image.stat().st_size == len(content)
    assert held() < 4 * MIB


def test_an_image_that_changes_after_it_was_whole_is_refused(tmp_path: Path, images: Path) -> None:
    def criu(follower: Follower) -> None:
        (images / "pages-1.img").write_bytes(bytes(5 * MIB))
        (images / "pages-2.img").write_bytes(b"2")
        (images / "pages-3.img").write_bytes(b"3")
        wait_until_archived(follower, "pages-2.img")
        with (images / "pages-1.img").open("ab") as again:
            again.write(b"more")

    refused(tmp_path, images, criu)


def test_an_image_that_is_replaced_is_refused(tmp_path: Path, images: Path) -> None:
    def criu(follower: Follower) -> None:
        (images / "pages-1.img").write_bytes(bytes(5 * MIB))
        (images / "pages-2.img").write_bytes(b"2")
        wait_until_archived(follower, "pages-1.img")
        (images / "new").write_bytes(bytes(5 * MIB))
        os.replace(images / "new", images / "pages-1.img")

    refused(tmp_path, images, criu)


def test_an_image_that_shrinks_is_refused(tmp_path: Path, images: Path) -> None:
    def criu(follower: Follower) -> None:
        image = images / "pages-1.img"
        image.write_bytes(os.urandom(6 * MIB))
        wait_until(lambda: image.stat().st_blocks * 512 < 3 * MIB)
        os.truncate(images / "pages-1.img", MIB)

    refused(tmp_path, images, criu)


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.001)


def wait_until_archived(follower: Follower, name: str) -> None:
    wait_until(lambda: name in follower._read)


def refused(tmp_path: Path, images: Path, criu: Callable[[Follower], None]) -> None:
    with pytest.raises(SystemFailed) as caught:
        Archive(tmp_path, images).make(writing=criu)
    assert caught.value.code == "archive-source-changed"
    assert not (tmp_path / "archive").exists()


def test_an_error_of_the_thread_comes_out_at_the_end(tmp_path: Path, images: Path) -> None:
    def criu(follower: Follower) -> None:
        (images / "pages-1.img").symlink_to("/etc/passwd")

    with pytest.raises(SystemFailed, match="pages-1"):
        Archive(tmp_path, images).make(writing=criu)


class Hanging(io.RawIOBase):
    """A pipe that nobody reads."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def write(self, data: ReadableBuffer, /) -> int:
        self.entered.set()
        self.let_go.wait()
        return memoryview(data).nbytes

    def reserve(self, size: int) -> Callable[[bytes], None]:
        return lambda data: None


def give_up(sink: Hanging, images: Path, used: list[Follower]) -> None:
    with ArchiveWriter(sink) as archive, Follower(images, archive, give_back=True) as follower:
        used.append(follower)
        archive.add_bytes("config.dump", b"{}")
        follower.start()
        sink.entered.wait(WAIT_S)
        raise ZeroDivisionError


def test_a_thread_that_hangs_is_left_alone(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE_S", 0.05)
    (images / "pages-1.img").write_bytes(os.urandom(64 * MIB))
    sink, used = Hanging(), list[Follower]()
    with pytest.raises(ZeroDivisionError):
        give_up(sink, images, used)
    thread = used[0]._thread
    assert thread is not None
    assert thread.is_alive()
    sink.let_go.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.binary(max_size=40_000), max_size=5),
    st.sampled_from(Compression),
    st.sampled_from([512, 1024, 4096]),
    st.integers(1, 8),
    st.booleans(),
)
def test_any_sizes_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory,
    blobs: list[bytes],
    compression: Compression,
    frame: int,
    pieces: int,
    ordered: bool,
) -> None:
    base = tmp_path_factory.mktemp("follow")
    images = base / "checkpoint"
    images.mkdir()

    def criu(follower: Follower) -> None:
        for number, blob in enumerate(blobs, 1):
            write_slowly(images / f"pages-{number}.img", blob, pieces)

    with pytest.MonkeyPatch.context() as patch:
        for module in (writer, follow):
            patch.setattr(module, "FRAME_BYTES", frame)
        patch.setattr(writer, "SHARED_FRAME_BYTES", frame // 2)
        patch.setattr("pyodcr.checkpoint.archive.decode.SHARED_FRAME_BYTES", frame // 2)
        patch.setattr(follow, "READ_BYTES", frame // 4)
        archive = Archive(base, images, compression=compression)
        followed = archive.make(writing=criu, give_back=False, ordered=ordered)
        assert list(contents(followed).values()) == blobs
        assert archive.make(give_back=False) == followed
