"""What every destination promises: one suite, run on each backend against the real thing (docs/plugins.md)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.checkpoint.archive.streams import write_all
from pyodcr.checkpoint.destinations import Destination, abort, resolve
from pyodcr.checkpoint.destinations.gaps import patient, release
from pyodcr.checkpoint.destinations.registry import scheme_of
from pyodcr.config import Config
from pyodcr.errors import DestinationError
from tests.contract.places import Place
from tests.support.box import wait_for

MIB = 1 << 20
REPOSITORY = Path(__file__).resolve().parents[2]


def store(destination: Destination, content: bytes, chunk_bytes: int = 300_007) -> None:
    chunk = bytearray(chunk_bytes)
    with destination.put() as upload:
        for start in range(0, len(content), chunk_bytes):
            piece = content[start : start + chunk_bytes]
            chunk[: len(piece)] = piece  # one buffer for all: a backend may not keep what it was given
            assert upload.write(memoryview(chunk)[: len(piece)]) == len(piece)
        assert upload.commit().size_bytes == len(content)


def fetch(destination: Destination) -> bytes:
    with destination.open() as stream:
        return stream.read()


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 21 * MIB + 5])
def test_what_goes_in_comes_out(anywhere: Place, size: int) -> None:
    content = os.urandom(size)
    destination = anywhere.named("c.tar.zst")
    store(destination, content)
    assert fetch(destination) == content


def test_durable_is_what_can_be_found_again(anywhere: Place) -> None:
    store(anywhere.named("c"), b"content")
    info = anywhere.named("c").stat()
    assert (info is not None) == anywhere.named("c").durable == anywhere.keeps
    assert [info.size_bytes for info in anywhere.named("x").list()] == [7] * anywhere.keeps
    assert anywhere.holds() == ["c"] * anywhere.keeps
    assert info is None or (info.url, info.size_bytes) == (anywhere.named("c").url, 7)


def test_recovery_is_known_before_the_first_byte(anywhere: Place) -> None:
    with anywhere.named("c").put() as upload:
        before = dict(upload.recovery())
        assert json.loads(json.dumps(before)) == before  # it goes into the database
        assert before["scheme"] == scheme_of(anywhere.named("c").url)
        upload.write(b"content")
        assert dict(upload.recovery()) == before
        upload.commit()
    abort(before, anywhere.config)  # what is whole is not harmed
    assert fetch(anywhere.named("c")) == b"content"


def test_check_does_nothing(anywhere: Place) -> None:
    anywhere.named("c").check()
    assert anywhere.holds() == []
    store(anywhere.named("c"), b"content")
    assert fetch(anywhere.named("c")) == b"content"


def test_what_is_not_there_can_be_deleted(anywhere: Place) -> None:
    anywhere.named("c").delete()


@pytest.mark.parametrize("before", [0, 5 * MIB - 3, 5 * MIB, 7 * MIB], ids=["first", "across", "next", "inside"])
@pytest.mark.parametrize("after", [0, 100, 12 * MIB])
def test_bytes_may_be_left_out_and_come_later(place: Place, tmp_path: Path, before: int, after: int) -> None:
    first, gap, second, third = os.urandom(before), b"between", os.urandom(after), os.urandom(6 * MIB)
    with place.named("c").put() as upload:
        sink = patient(upload, tmp_path)
        write_all(sink, first)
        fill = sink.reserve(len(gap))
        write_all(sink, second)
        fill(gap)
        again = sink.reserve(1)
        write_all(sink, third)
        again(b"x")
        release(sink)
        assert upload.commit().size_bytes == before + len(gap) + after + 1 + len(third)
    assert fetch(place.named("c")) == first + gap + second + b"x" + third


def test_its_url_leads_to_the_same_object(place: Place) -> None:
    store(place.named("c"), b"content")
    assert fetch(resolve(place.named("c").url, place.config)) == b"content"


def test_a_name_may_hold_anything(place: Place) -> None:
    name = "dérivé 100%?#&+=;, 1.tar"
    store(place.named(name), b"content")
    assert fetch(place.named(name)) == b"content"
    assert place.holds() == [name]
    assert [info.url for info in place.named("x").list()] == [place.named(name).url]


def test_it_can_be_sought(place: Place) -> None:
    content = os.urandom(3 * MIB)
    store(place.named("c"), content)
    with place.named("c").open() as stream:
        assert stream.seekable()
        assert stream.read(10) == content[:10]
        assert stream.seek(2 * MIB) == 2 * MIB
        assert stream.read(10) == content[2 * MIB : 2 * MIB + 10]
        assert stream.seek(-4, os.SEEK_END) == 3 * MIB - 4
        assert stream.read() == content[-4:]
        assert stream.read() == b""


def test_nothing_is_there_before_commit(place: Place) -> None:
    with place.named("c").put() as upload:
        upload.write(bytes(6 * MIB))
        assert place.named("c").stat() is None
        assert list(place.named("c").list()) == []
        upload.commit()
    assert place.holds() == ["c"]


@pytest.mark.parametrize("size", [0, 100, 11 * MIB])
def test_an_upload_without_commit_leaves_nothing(place: Place, size: int) -> None:
    with place.named("c").put() as upload:
        upload.write(bytes(size))
    assert place.holds() == []


def test_an_exception_leaves_nothing(place: Place) -> None:
    def interrupted() -> None:
        with place.named("c").put() as upload:
            upload.write(bytes(11 * MIB))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert place.holds() == []


def test_an_upload_replaces_what_was_there(place: Place) -> None:
    store(place.named("c"), os.urandom(6 * MIB))
    before = place.named("c").stat()
    store(place.named("c"), b"new")
    after = place.named("c").stat()
    assert fetch(place.named("c")) == b"new"
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert place.holds() == ["c"]


def test_an_aborted_upload_keeps_what_was_there(place: Place) -> None:
    store(place.named("c"), b"old")
    with place.named("c").put() as upload:
        upload.write(bytes(6 * MIB))
        assert fetch(place.named("c")) == b"old"
    assert fetch(place.named("c")) == b"old"
    assert place.holds() == ["c"]


def test_a_missing_object(place: Place) -> None:
    missing = place.named("missing")
    assert missing.stat() is None
    with pytest.raises(DestinationError) as caught, missing.open():
        pass
    assert caught.value.code == "destination-not-found"
    assert "missing" in caught.value.message


def test_delete(place: Place) -> None:
    store(place.named("c"), b"content")
    place.named("c").delete()
    assert place.holds() == []


def test_list_tells_of_the_siblings_only(place: Place) -> None:
    place.make_folder("folder")
    for name in ("web-1", "web-2", "db-1", "folder/web-3"):
        store(place.named(name), name.encode())
    listed = {info.url: info.size_bytes for info in place.named("anything").list("web-")}
    assert listed == {place.prefix + "web-1": 5, place.prefix + "web-2": 5}
    assert [info.url for info in place.named("folder/x").list()] == [place.prefix + "folder/web-3"]


def test_check_keeps_what_is_there(place: Place) -> None:
    store(place.named("c"), b"old")
    place.named("c").check()
    assert fetch(place.named("c")) == b"old"


WRITER = """
import json, os, sys, time
from pathlib import Path
from pyodcr import config
from pyodcr.checkpoint.destinations import resolve
os.O_TMPFILE = int(sys.argv[2])
settings = config.load(file=Path(sys.argv[3]) if sys.argv[3] else None)
with resolve(sys.argv[1], settings).put() as upload:
    print(json.dumps(dict(upload.recovery())), flush=True)
    upload.write(bytes(11 << 20))
    print("written", flush=True)
    time.sleep(600)
"""


@contextmanager
def half_written(destination: Destination, config: Config) -> Iterator[dict[str, str]]:
    """A process that wrote a part of the object and was then killed; yields what it recorded at its beginning."""
    argv = [sys.executable, "-c", WRITER, destination.url, str(os.O_TMPFILE), str(config.file or "")]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout
            recovery = json.loads(writer.stdout.readline())
            assert writer.stdout.readline() == b"written\n"
        finally:
            writer.send_signal(signal.SIGKILL)
    yield recovery


def test_a_killed_writer_leaves_no_object(place: Place) -> None:
    store(place.named("c"), b"old")
    with half_written(place.named("c"), place.config) as recovery:
        assert fetch(place.named("c")) == b"old"
        assert [info.url for info in place.named("c").list()] == [place.named("c").url]
        wait_for(lambda: len(place.holds()) == 1 + place.litter, "the far side to notice")
        abort(recovery, place.config)
        assert place.holds() == ["c"]
        abort(recovery, place.config)  # again: nobody knows how far the first one came
