"""Bad days of S3: a real server that is away, refuses or dies, and a proxy before it that breaks what it cannot."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr import process
from pyodcr.checkpoint.destinations import Destination, Upload, abort, resolve, s3client, s3reader, s3upload
from pyodcr.config import Config, S3Config
from pyodcr.errors import ConfigInvalid, DestinationError
from tests.support.s3faults import Fault, FaultyProxy, faults
from tests.support.s3server import S3Server, serve

MIB = 1 << 20
CONFIG = Config(s3=S3Config(part_size=5 * MIB))
CONTENT = os.urandom(12 * MIB)  # three parts
ALWAYS = 1_000_000
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"b-{uuid.uuid4().hex}"
    s3.make_bucket(name)
    return name


@pytest.fixture
def proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    monkeypatch.setattr(s3reader, "PAUSE_S", 0)
    with faults(s3.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


def archive(bucket: str, config: Config = CONFIG) -> Destination:
    return resolve(f"s3://{bucket}/c", config)


def store(destination: Destination, content: bytes = CONTENT) -> None:
    with destination.put() as upload:
        upload.write(content)
        upload.commit()


def fetch(destination: Destination) -> bytes:
    with destination.open() as stream:
        return stream.read()


def objects(s3: S3Server, bucket: str) -> list[str]:
    return [path.name for path in (s3.root / bucket).iterdir() if not path.name.startswith(".rclone_temp_")]


def assert_nothing(s3: S3Server, bucket: str) -> None:
    assert objects(s3, bucket) == []
    assert s3.uploads(bucket) == []


def refusal(destination: Destination) -> DestinationError:
    """Every verb that asks the server is refused alike; checking is the one that matters."""
    with pytest.raises(DestinationError) as stored:
        store(destination)
    with pytest.raises(DestinationError) as caught:
        destination.check()
    assert stored.value.code == caught.value.code
    return caught.value


def finish_without(server: S3Server, upload: Upload) -> None:
    upload.write(CONTENT)
    server.kill()
    upload.write(CONTENT)
    upload.commit()


# Refused from the beginning


def test_a_missing_bucket(s3: S3Server) -> None:
    error = refusal(archive("no-such-bucket"))
    assert error.code == "destination-not-found"
    assert error.message == "cannot write s3://no-such-bucket/c: there is no such bucket"
    with pytest.raises(DestinationError) as caught:
        fetch(archive("no-such-bucket"))
    assert caught.value.code == "destination-not-found"


def test_a_wrong_secret_key(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    error = refusal(archive(bucket))
    assert error.code == "destination-denied"
    assert "secret key is wrong" in error.message
    with pytest.raises(DestinationError) as caught:
        archive(bucket).stat()  # a HEAD is refused without a word: not the same as not there
    assert caught.value.code == "destination-denied"


def test_an_unknown_access_key(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobodyknowsme")
    error = refusal(archive(bucket))
    assert error.code == "destination-denied"
    assert error.hint is not None
    assert "AWS_PROFILE" in error.hint


def test_no_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    error = refusal(archive(bucket))
    assert error.code == "destination-denied"
    assert error.message == f"cannot write s3://{bucket}/c: there are no credentials"


def test_a_missing_profile(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    error = refusal(archive(bucket))
    assert error.code == "destination-denied"
    assert "gone" in error.message


def test_a_dead_endpoint(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    error = refusal(archive(bucket))
    assert error.code == "destination-unreachable"
    assert error.message == f"cannot write s3://{bucket}/c: no connection to http://127.0.0.1:1"


def test_an_unknown_host(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    error = refusal(archive(bucket, Config(s3=S3Config(endpoint="http://nowhere.invalid"))))
    assert error.code == "destination-unreachable"
    assert "the host of http://nowhere.invalid is not known" in error.message


def test_a_server_that_does_not_answer(bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3client, "READ_TIMEOUT_S", 0.2)
    proxy.spoil("POST", "uploads", Fault.STALLED)
    error = refusal(archive(bucket))
    assert error.code == "destination-unreachable"
    assert "does not answer" in error.message


def test_an_endpoint_that_is_none(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "127.0.0.1:9000")
    with pytest.raises(ConfigInvalid) as caught:
        archive(bucket).check()
    assert "127.0.0.1:9000" in caught.value.message


def test_the_configured_endpoint_overrides_the_environment(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    settings = S3Config(endpoint=s3.endpoint, region="eu-west-1", addressing_style="path", storage_class="STANDARD_IA")
    store(archive(bucket, Config(s3=settings)), b"content")
    assert objects(s3, bucket) == ["c"]


# Broken under way


def test_a_server_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(tmp_path) as server:
        server.make_bucket("bucket")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DestinationError) as caught, archive("bucket").put() as upload:
            finish_without(server, upload)
        error = caught.value
        assert error.code == "destination-unreachable"
        assert error.details["upload_id"] == upload.recovery()["upload_id"]
        assert error.hint is not None
        assert str(error.details["upload_id"]) in error.hint

        server.start()
        assert_nothing(server, "bucket")
        abort(upload.recovery(), CONFIG)  # what the next command does
        store(archive("bucket"))
        assert fetch(archive("bucket")) == CONTENT


@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.UNHEARD, Fault.UNANSWERED])
def test_a_part_is_tried_again(bucket: str, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.spoil("PUT", "partNumber=2", fault, times=2)
    store(archive(bucket))
    assert proxy.seen("PUT", "partNumber=2") == 3
    assert fetch(archive(bucket)) == CONTENT


@pytest.mark.parametrize("part", [1, 3])
def test_a_part_that_fails_for_good(s3: S3Server, bucket: str, proxy: FaultyProxy, part: int) -> None:
    proxy.spoil("PUT", f"partNumber={part}", Fault.ERROR_500)
    with pytest.raises(DestinationError) as caught:
        store(archive(bucket))
    assert caught.value.code == "destination-failed"
    assert caught.value.details["s3_code"] == "InternalError"
    assert "upload_id" not in caught.value.details  # nothing remains, so there is nothing to tell of
    assert_nothing(s3, bucket)


def test_a_failed_upload_stays_failed(s3: S3Server, bucket: str, proxy: FaultyProxy) -> None:
    proxy.spoil("PUT", "partNumber=1", Fault.ERROR_500, times=3)
    with archive(bucket).put() as upload:
        with pytest.raises(DestinationError):
            upload.write(CONTENT + CONTENT)
        with pytest.raises(DestinationError):
            upload.write(b"more")
        with pytest.raises(DestinationError):
            upload.commit()
    assert_nothing(s3, bucket)


def test_an_upload_that_cannot_be_aborted_is_told_of(s3: S3Server, bucket: str, proxy: FaultyProxy) -> None:
    proxy.spoil("DELETE", "uploadId", Fault.UNHEARD, times=6)
    with pytest.raises(DestinationError) as caught, archive(bucket).put():
        pass
    assert "an unfinished upload" in caught.value.message

    with pytest.raises(KeyboardInterrupt) as interrupted, archive(bucket).put() as upload:
        raise KeyboardInterrupt
    assert upload.recovery()["upload_id"] in interrupted.value.__notes__[0]

    assert len(s3.uploads(bucket)) == 2
    abort(upload.recovery(), CONFIG)
    assert len(s3.uploads(bucket)) == 1


def test_abort_says_when_the_server_is_away(bucket: str, proxy: FaultyProxy) -> None:
    with archive(bucket).put() as upload:
        recovery = upload.recovery()
    proxy.spoil("DELETE", "uploadId", Fault.UNHEARD)
    with pytest.raises(DestinationError) as caught:
        abort(recovery, CONFIG)
    assert caught.value.code == "destination-unreachable"


def test_a_server_that_takes_nothing_for_a_while(
    bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3client, "CONNECT_TIMEOUT_S", 0.3)  # urllib3 applies it to sending, too
    proxy.spoil("PUT", "partNumber=1", Fault.SLOW)
    settings = S3Config(part_size=64 * MIB)  # more than the sockets' buffers hold
    content = os.urandom(40 * MIB)
    store(archive(bucket, Config(s3=settings)), content)
    assert fetch(archive(bucket)) == content


PEAK = """
import os, re, sys
from pyodcr.checkpoint.destinations import resolve
from pyodcr.config import Config
block = os.urandom(1 << 20)
with resolve(sys.argv[1], Config()).put() as upload:
    for _ in range(256):
        upload.write(block)
    upload.commit()
print(re.search("VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())[1])
"""


def test_memory_does_not_grow_with_the_archive(bucket: str) -> None:
    done = process.run(
        [sys.executable, "-c", PEAK, f"s3://{bucket}/c"], env=dict(os.environ), cwd=REPOSITORY, timeout_s=120
    )
    assert int(done.stdout) < 110 << 10  # KiB: 50 for Python and boto3, 3 parts of 8 MiB


def test_abort_of_a_bucket_that_is_gone(bucket: str) -> None:
    with archive(bucket).put() as upload:
        recovery = dict(upload.recovery())
    abort(recovery | {"bucket": "no-such-bucket"}, CONFIG)


def test_giving_up_does_not_wait_for_a_server_that_stalls(
    s3: S3Server, bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3upload, "ABORT_WAIT_S", 0.1)
    proxy.spoil("PUT", "partNumber=1", Fault.STALLED)
    with archive(bucket).put() as upload:
        upload.write(bytes(5 * MIB))
    assert_nothing(s3, bucket)


# The end, and nobody knows which


@pytest.mark.parametrize("times", [1, ALWAYS])
def test_a_completion_without_answer_that_happened(s3: S3Server, bucket: str, proxy: FaultyProxy, times: int) -> None:
    proxy.spoil("POST", "uploadId", Fault.UNANSWERED, times=times)
    store(archive(bucket))
    assert fetch(archive(bucket)) == CONTENT
    assert s3.uploads(bucket) == []


@pytest.mark.parametrize("fault", [Fault.UNHEARD, Fault.ERROR_500])
def test_a_completion_that_did_not_happen(s3: S3Server, bucket: str, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.spoil("POST", "uploadId", fault)
    with pytest.raises(DestinationError):
        store(archive(bucket))
    assert_nothing(s3, bucket)


def test_an_older_object_of_that_size_is_not_taken_for_ours(s3: S3Server, bucket: str, proxy: FaultyProxy) -> None:
    store(archive(bucket))
    proxy.spoil("POST", "uploadId", Fault.UNHEARD)
    with pytest.raises(DestinationError):
        store(archive(bucket))
    assert fetch(archive(bucket)) == CONTENT
    assert s3.uploads(bucket) == []


def test_a_completion_in_doubt_is_a_failure(bucket: str, proxy: FaultyProxy) -> None:
    proxy.spoil("POST", "uploadId", Fault.UNANSWERED)
    proxy.spoil("HEAD", "/c", Fault.UNHEARD)
    with pytest.raises(DestinationError) as caught:
        store(archive(bucket))
    assert caught.value.code == "destination-unreachable"
    assert caught.value.hint is not None
    assert "may have been written" in caught.value.hint


# Reading


def test_a_broken_read_goes_on_where_it_was(bucket: str, proxy: FaultyProxy) -> None:
    store(archive(bucket))
    proxy.spoil("GET", "/c", Fault.CUT_SHORT, times=5)  # each gives half of the rest
    assert fetch(archive(bucket)) == CONTENT
    assert proxy.seen("GET", "/c") == 6


def test_a_read_that_stays_broken(bucket: str, proxy: FaultyProxy) -> None:
    store(archive(bucket))
    with archive(bucket).open() as stream:
        proxy.spoil("GET", "/c", Fault.UNHEARD)
        stream.seek(6 * MIB)
        with pytest.raises(DestinationError) as caught:
            stream.read()
    assert caught.value.code == "destination-unreachable"


def test_no_stream_is_made_of_two_objects(bucket: str, proxy: FaultyProxy) -> None:
    store(archive(bucket))
    proxy.spoil("GET", "/c", Fault.CUT_SHORT, times=1)
    with archive(bucket).open() as stream:
        stream.read(MIB)
        store(archive(bucket), os.urandom(len(CONTENT)))
        with pytest.raises(DestinationError) as caught:
            stream.read()
    assert "replaced while it was read" in caught.value.message


# What AWS alone asks for


def test_parts_with_checksums(bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3client, "_is_aws", lambda url: True)
    store(archive(bucket))
    assert fetch(archive(bucket)) == CONTENT
