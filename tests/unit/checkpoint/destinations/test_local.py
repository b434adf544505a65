from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from pyodcr.checkpoint.destinations import Destination, descriptors, resolve
from pyodcr.checkpoint.destinations.base import Bytes
from pyodcr.config import Config
from pyodcr.errors import DestinationError


def archive(path: Path) -> Destination:
    return resolve(str(path), Config())


def store(destination: Destination, content: bytes) -> None:
    with destination.put() as upload:
        upload.write(content)
        upload.commit()


def refusal(destination: Destination) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        destination.check()
    with pytest.raises(DestinationError) as stored:
        store(destination, b"content")
    assert stored.value.code == caught.value.code
    return caught.value


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    os.umask(os.umask(0))
    store(archive(tmp_path / "c"), b"content")
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o600


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    store(archive(tmp_path / "c"), b"old")
    with archive(tmp_path / "c").open() as stream:
        store(archive(tmp_path / "c"), b"new")
        assert stream.read() == b"old"


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "c")
    for content in (b"dangling", b"again"):
        store(archive(tmp_path / "link"), content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "disk" / "c").read_bytes() == content


def test_the_longest_name(tmp_path: Path) -> None:
    name = "ä" * 127
    for content in (b"first", b"second"):  # the second needs a temporary name
        store(archive(tmp_path / name), content)
        assert (tmp_path / name).read_bytes() == content
    assert os.listdir(tmp_path) == [name]


def test_a_missing_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(resolve("missing/c", Config()))
    assert error.code == "destination-not-found"
    assert error.message == f"cannot write missing/c: the directory {tmp_path}/missing does not exist"
    assert list(resolve("missing/c", Config()).list()) == []


def test_a_directory_is_no_archive(tmp_path: Path) -> None:
    error = refusal(archive(tmp_path))
    assert error.message == f"{tmp_path} is a directory"
    assert archive(tmp_path).stat() is None
    for verb in (archive(tmp_path).delete, archive(tmp_path).open().__enter__):
        with pytest.raises(DestinationError):
            verb()
    assert tmp_path.is_dir()


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(archive(tmp_path / "file" / "c")).code == "destination-not-found"
    assert archive(tmp_path / "file" / "c").stat() is None


def test_a_descriptor_in_which_a_thread_is_stuck_stays_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on writing into whatever is opened next."""
    entered, let_go, written = threading.Event(), threading.Event(), list[int]()

    def write_all(fd: int, data: Bytes, name: str) -> int:
        entered.set()
        let_go.wait()
        written.append(os.write(fd, data))
        return written[0]

    monkeypatch.setattr(descriptors, "write_all", write_all)
    with archive(tmp_path / "c").put() as upload:
        thread = threading.Thread(target=upload.write, args=(b"content",))
        thread.start()
        entered.wait()
    with (tmp_path / "next").open("wb"):
        let_go.set()
        thread.join()
    assert written == [len(b"content")]
    assert (tmp_path / "next").read_bytes() == b""


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    with archive(tmp_path / "c").put() as upload:
        pass
    with (tmp_path / "next").open("wb"), pytest.raises(DestinationError, match="bad file descriptor"):
        upload.write(b"content")
