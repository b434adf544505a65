"""Checkpoints of real containers in a real S3 server, and what is left of them when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.box import Box, files_left, wait_for
from tests.support.checkpoints import Counter, assert_undisturbed, operations, start_counter, whole_box
from tests.support.s3faults import Fault, FaultyProxy, faults
from tests.support.s3server import S3Server, serve

pytestmark = pytest.mark.root

BUCKET = "archives"
KEY = "of/c.tar.zst"
URL = f"s3://{BUCKET}/{KEY}"
NOISE_MIB = 12  # three parts of 5 MiB, two of the default size


@contextmanager
def reaching(server: S3Server, box: Box, endpoint: str | None = None) -> Iterator[None]:
    """Let the commands of ``box`` use the server, and ask once only: what is broken here stays broken."""
    before = dict(box.env)
    box.env |= server.environment(endpoint) | {"AWS_MAX_ATTEMPTS": "1"}
    try:
        yield
    finally:
        box.env.clear()
        box.env |= before


@pytest.fixture(scope="module")
def home(tree: Path) -> Iterator[Counter]:
    with whole_box() as box:
        counter = start_counter(box, tree)
        make_noise(counter, NOISE_MIB)
        yield counter


@pytest.fixture
def survivor(home: Counter) -> Iterator[Counter]:
    """A counter that each test leaves counting on, with nothing of the test's checkpoint left."""
    before = home.reading()
    yield home
    home.moves(above=before)
    assert_undisturbed(home)


@pytest.fixture
def server(survivor: Counter, tmp_path: Path) -> Iterator[S3Server]:
    with serve(tmp_path) as server, reaching(server, survivor.box):
        server.make_bucket(BUCKET)
        yield server


def make_noise(counter: Counter, size_mib: int) -> None:
    """What no compression makes smaller."""
    counter.box.run("exec", counter.name, "dd", "if=/dev/urandom", "of=/dev/shm/noise", "bs=1M", f"count={size_mib}")


def assert_empty(server: S3Server) -> None:
    assert server.objects(BUCKET) == []
    assert server.uploads(BUCKET) == []


@contextmanager
def stalled(counter: Counter, server: S3Server, proxy: FaultyProxy, part: int) -> Iterator[subprocess.Popen[bytes]]:
    """A checkpoint that stands still with one part of its upload on the way and all before it sent."""
    box, fragment = counter.box, f"partNumber={part}"
    proxy.spoil("PUT", fragment, Fault.STALLED, times=1)
    with (
        reaching(server, box, proxy.endpoint),
        box.popen("checkpoint", "-e", URL, counter.name, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command,
    ):
        try:
            wait_for(lambda: proxy.seen("PUT", fragment), f"part {part}")
            yield command
        finally:
            command.kill()


# --- there and back -----------------------------------------------------------------------------


def test_to_a_bucket_and_back(box: Box, tree: Path, tmp_path: Path) -> None:
    with serve(tmp_path) as server, reaching(server, box):
        server.make_bucket(BUCKET)
        counter = start_counter(box, tree)
        before = counter.reading()
        box.run("checkpoint", "-e", URL, "c")
        assert (server.objects(BUCKET), server.uploads(BUCKET)) == ([KEY], [])
        box.run("restore", "c")
        reached = counter.moves(above=before)
        box.run("checkpoint", "-e", URL, "c")
        box.run("rm", "c")
        assert box.run("restore", "--import", URL) == counter.id
        counter.moves(above=reached)
        assert (server.objects(BUCKET), server.uploads(BUCKET)) == ([KEY], [])


def test_endpoint_region_and_part_size_are_configured(survivor: Counter, server: S3Server, tmp_path: Path) -> None:
    box, configuration = survivor.box, tmp_path / "pyodcr.toml"
    with faults(server.port) as proxy:
        configuration.write_text(f'[s3]\nendpoint = "{proxy.endpoint}"\nregion = "eu-north-1"\npart_size = {5 << 20}\n')
        box.env["PYODCR_CONFIG"] = str(configuration)
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION"):
            del box.env[name]
        box.run("checkpoint", "-R", "-e", URL, survivor.name)
        assert proxy.seen("PUT", "partNumber=3"), proxy.requests
        assert proxy.regions == {"eu-north-1"}
    assert (server.objects(BUCKET), server.uploads(BUCKET)) == ([KEY], [])


# --- refused before the container is touched ----------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "url", "code", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, URL, "destination-denied", "there are no credentials"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, URL, "destination-denied", "the secret key is wrong"),
        ({}, "s3://no-such-bucket/c", "destination-not-found", "there is no such bucket"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, URL, "destination-unreachable", "127.0.0.1:1"),
    ],
    ids=["no credentials", "denied", "no bucket", "server away"],
)
def test_no_way_to_the_object(
    survivor: Counter, server: S3Server, changes: Mapping[str, str], url: str, code: str, says: str
) -> None:
    log = survivor.bundle / "dump.log"
    log.unlink(missing_ok=True)
    survivor.box.env |= changes
    error = survivor.box.fail("checkpoint", "-e", url, survivor.name, code=code)
    assert says in error["error"]
    assert url in error["error"]
    assert error["hint"]
    assert not log.exists(), "CRIU was not even started"
    assert_empty(server)


# --- the upload breaks --------------------------------------------------------------------------


def test_the_server_dies_in_the_middle(survivor: Counter, server: S3Server) -> None:
    box = survivor.box
    with faults(server.port) as proxy, stalled(survivor, server, proxy, 2) as command:
        server.kill()
        proxy.let_go()  # the part on its way finds no server, and neither does the abort
        _, said = command.communicate(timeout=60)
    assert command.returncode == 125, said
    assert f"cannot write {URL}" in said.decode()
    assert "Traceback" not in said.decode()
    survivor.moves()
    assert_undisturbed(survivor)
    server.start()
    assert_empty(server)
    box.run("checkpoint", "-R", "-e", URL, survivor.name)
    assert (server.objects(BUCKET), server.uploads(BUCKET)) == ([KEY], [])


def test_a_stalled_upload_keeps_only_its_container_busy(survivor: Counter, server: S3Server) -> None:
    box = survivor.box
    with faults(server.port) as proxy, stalled(survivor, server, proxy, 1) as command:
        assert survivor.name in box.run("ps")
        assert box.state(survivor.name) == "running"
        for verb in (("stop",), ("pause",), ("rm",), ("checkpoint", "-e", URL)):
            error = box.fail(*verb, survivor.name, code="busy")
            assert str(command.pid) in error["error"]
        proxy.let_go()
        _, said = command.communicate(timeout=60)
        assert command.returncode == 125, said
    assert operations(box) == [], "it cleaned up by itself"
    assert_empty(server)


def test_the_next_verb_aborts_the_upload_of_the_killed(survivor: Counter, server: S3Server) -> None:
    box = survivor.box
    with faults(server.port) as proxy:
        with stalled(survivor, server, proxy, 2) as command:
            command.kill()
        assert server.uploads(BUCKET) == [f"upload of {KEY}"]
        assert box.run("exec", survivor.name, "echo", "here") == "here"
        assert_empty(server)
        assert "unfinished upload" not in box.run("system", "prune", "--force"), "it was done, and not put down"


def test_an_upload_that_cannot_be_aborted_is_pruned_later(survivor: Counter, server: S3Server) -> None:
    """A server that is away keeps nobody from the container."""
    box = survivor.box
    with faults(server.port) as proxy:
        with stalled(survivor, server, proxy, 2) as command:
            command.kill()
        proxy.spoil("DELETE", "uploadId=", Fault.UNHEARD, times=2)
        assert box.run("exec", survivor.name, "echo", "here") == "here"
        survivor.moves()
        assert box.call("system", "prune", "--force").returncode == 0, "the server is still away"
        assert server.uploads(BUCKET) == [f"upload of {KEY}"]
        assert "unfinished upload" in box.run("system", "prune", "--force")
        assert_empty(server)


# --- the object is not what it was --------------------------------------------------------------


def cut_short(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def bit_flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def test_a_damaged_object_is_refused(one_box: Box, tree: Path, tmp_path: Path) -> None:
    """With the container still there, and on a host that has never seen it; whole again, it is restored."""
    box = one_box
    with serve(tmp_path) as server, reaching(server, box):
        server.make_bucket(BUCKET)
        counter = start_counter(box, tree)
        before = counter.reading()
        box.run("checkpoint", "-e", URL, "c")
        whole = server.get(BUCKET, KEY)
        for damage in (cut_short, bit_flipped):
            server.put(BUCKET, KEY, damage(whole))
            error = box.fail("restore", "c")
            assert error["code"].startswith("archive-"), error
            assert URL in error["error"]
            found = box.inspect("c")["State"]
            assert (found["Status"], found["Checkpointed"]) == ("exited", True)
        box.run("rm", "c")
        for damage in (cut_short, bit_flipped):
            server.put(BUCKET, KEY, damage(whole))
            error = box.fail("restore", "-i", URL)
            assert error["code"].startswith("archive-"), error
            assert (box.containers(), files_left(box), operations(box)) == ([], [], [])
        server.put(BUCKET, KEY, whole)
        box.run("restore", "-i", URL)
        counter.moves(above=before)


def test_a_connection_that_breaks_is_taken_up_again(one_box: Box, tree: Path, tmp_path: Path) -> None:
    box = one_box
    with serve(tmp_path) as server, faults(server.port) as proxy, reaching(server, box, proxy.endpoint):
        server.make_bucket(BUCKET)
        counter = start_counter(box, tree)
        before = counter.reading()
        box.run("checkpoint", "-e", URL, "c")
        # the first answers are its end, where the index is
        proxy.spoil("GET", KEY, Fault.CUT_SHORT, times=4)
        box.run("restore", "c")
        reached = counter.moves(above=before)
        box.run("checkpoint", "-e", URL, "c")
        box.run("rm", "c")
        asked = proxy.seen("GET", KEY)
        proxy.spoil("GET", KEY, Fault.CUT_SHORT, times=1)
        box.run("restore", "-i", URL)
        counter.moves(above=reached)
        assert proxy.seen("GET", KEY) == asked + 2, "nothing was cut short"


def test_a_server_that_dies_under_an_import(one_box: Box, tree: Path, tmp_path: Path) -> None:
    """Half of the container stands there by then."""
    box = one_box
    with serve(tmp_path) as server, faults(server.port) as proxy, reaching(server, box, proxy.endpoint):
        server.make_bucket(BUCKET)
        counter = start_counter(box, tree)
        box.run("checkpoint", "-e", URL, "c")
        box.run("rm", "c")
        proxy.spoil("GET", KEY, Fault.CUT_SHORT, times=1)
        proxy.spoil("GET", KEY, Fault.UNHEARD, times=4)  # as often as it is taken up again
        error = box.fail("restore", "-i", URL, code="destination-unreachable")
        assert URL in error["error"]
        assert (box.containers(), files_left(box), operations(box)) == ([], [], [])
        box.run("restore", "-i", URL)
        counter.moves()


def test_an_object_that_is_gone_is_named(one_box: Box, tree: Path, tmp_path: Path) -> None:
    box = one_box
    with serve(tmp_path) as server, reaching(server, box):
        server.make_bucket(BUCKET)
        counter = start_counter(box, tree)
        before = counter.reading()
        box.run("checkpoint", "-e", URL, "c")
        whole = server.get(BUCKET, KEY)
        server.delete(BUCKET, KEY)
        for words in (("restore", "c"), ("restore", "-i", URL)):
            error = box.fail(*words)
            assert URL in error["error"], error
        assert box.inspect("c")["State"]["Checkpointed"] is True
        server.put(BUCKET, KEY, whole)
        box.run("restore", "c")
        counter.moves(above=before)
