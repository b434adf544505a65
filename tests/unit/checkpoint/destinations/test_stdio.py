from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyodcr.checkpoint.destinations import Destination, resolve
from pyodcr.checkpoint.destinations.stdio import StdioDestination
from pyodcr.config import Config
from pyodcr.errors import DestinationError

MIB = 1 << 20
REPOSITORY = Path(__file__).resolve().parents[4]
COPY = """
import sys
from pyodcr.checkpoint.destinations import resolve
from pyodcr.config import Config
from pyodcr.errors import DestinationError
try:
    with resolve(sys.argv[1], Config()).open() as stream, resolve(sys.argv[2], Config()).put() as upload:
        while chunk := stream.read(65536):
            upload.write(chunk)
        assert upload.commit().size_bytes
except DestinationError as error:
    sys.exit(f"{error.code}: {error.message}")
"""


def copy(
    source: str, target: str, shell: str = 'exec "$@"', *, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """A process that copies through destinations, with the redirections of ``shell``."""
    argv = ["sh", "-c", shell, "sh", sys.executable, "-c", COPY, source, target]
    return subprocess.run(argv, cwd=REPOSITORY, input=given, capture_output=True, check=False)


def pumped(destination: Destination, content: bytes) -> threading.Thread:
    """Writes ``content`` from a thread, since a pipe holds 64 KiB only."""

    def write() -> None:
        with destination.put() as upload:
            for start in range(0, len(content), MIB):
                upload.write(memoryview(content)[start : start + MIB])
            upload.commit()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("size", [1, 100, 20 * MIB])
def test_standard_input_to_standard_output(size: int) -> None:
    content = os.urandom(size)
    done = copy("-", "-", given=content)
    assert done.stderr == b""
    assert done.stdout == content


def test_standard_output_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"content")
    done = copy(str(tmp_path / "in"), "-", f'echo -n head >"{tmp_path}/out"; exec "$@" >>"{tmp_path}/out"')
    assert done.returncode == 0
    assert (tmp_path / "out").read_bytes() == b"headcontent"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/fd/5"])
def test_a_path_to_a_descriptor(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").write_bytes(b"content")
    done = copy(str(tmp_path / "in"), name, 'exec 5>&1; echo head; exec "$@" 5>&1')
    assert done.stderr == b""
    assert done.stdout == b"head\ncontent"


def test_a_closed_descriptor(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"content")
    assert b"cannot write -: it is closed" in copy(str(tmp_path / "in"), "-", 'exec "$@" >&-').stderr
    assert b"cannot read -: it is closed" in copy("-", str(tmp_path / "out"), 'exec "$@" <&-').stderr
    assert not (tmp_path / "out").exists()


def test_a_descriptor_of_the_wrong_direction(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"content")
    done = copy(str(tmp_path / "in"), "-", f'exec "$@" 1<"{tmp_path}/in"')
    assert b"destination-denied: cannot write -: it is not open for that" in done.stderr


def test_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = resolve(str(tmp_path / "fifo"), Config())
    assert not fifo.durable
    fifo.check()  # does not wait for a reader
    content = os.urandom(3 * MIB)
    writer = pumped(fifo, content)
    with fifo.open() as stream:
        assert stream.read() == content
    writer.join()
    assert (tmp_path / "fifo").is_fifo()


def test_a_reader_that_went_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(DestinationError) as caught, StdioDestination(stdout=writing).put() as upload:
        upload.write(b"content")
    os.close(writing)
    assert caught.value.code == "destination-unreachable"
    assert caught.value.hint == "the program that reads the archive ended early"


def test_a_pipe_that_does_not_block() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    content = os.urandom(3 * MIB)
    writer = pumped(StdioDestination(stdout=writing), content)
    with StdioDestination(stdin=reading).open() as stream:
        assert stream.read(len(content)) == content
        writer.join()
        os.close(writing)
        assert stream.read() == b""
    os.close(reading)


def test_a_terminal_is_refused() -> None:
    primary, terminal = os.openpty()
    destination = StdioDestination(stdin=terminal, stdout=terminal)
    for verb in (destination.check, destination.put().__enter__):
        with pytest.raises(DestinationError) as caught:
            verb()
        assert caught.value.message == "refusing to write an archive to a terminal"
        assert caught.value.hint
    with pytest.raises(DestinationError, match="refusing to read an archive from a terminal"):
        destination.open().__enter__()
    os.close(primary)
    os.close(terminal)


def test_a_full_device() -> None:
    with pytest.raises(DestinationError) as caught, resolve("/dev/full", Config()).put() as upload:
        upload.write(b"content")
    assert caught.value.code == "no-space"


def test_a_stream_has_no_past() -> None:
    stream = resolve("-", Config())
    assert stream.stat() is None
    assert list(stream.list()) == []
    stream.delete()


def test_no_descriptor_is_lost(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd")
    for name in (str(tmp_path / "file"), "/dev/null"):
        destination = resolve(name, Config())
        destination.check()
        with destination.put() as upload:
            upload.commit()
        with destination.open():
            pass
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_what_nobody_has_read_is_not_committed() -> None:
    """A small archive fits into the pipe's buffer; its reader leaves without having read it."""
    reading, writing = os.pipe()
    try:
        with StdioDestination(stdout=writing).put() as upload:
            upload.write(b"x" * 1000)
            os.close(reading)
            with pytest.raises(DestinationError) as caught:
                upload.commit()
        assert caught.value.code == "destination-unreachable"
    finally:
        os.close(writing)


def test_a_reader_may_leave_when_it_has_everything() -> None:
    reading, writing = os.pipe()
    try:
        with StdioDestination(stdout=writing).put() as upload:
            upload.write(b"x" * 1000)
            assert len(os.read(reading, 2000)) == 1000
            os.close(reading)
            assert upload.commit().size_bytes == 1000
    finally:
        os.close(writing)
