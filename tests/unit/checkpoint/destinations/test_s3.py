from __future__ import annotations

import pytest

from pyodcr.checkpoint.destinations.s3errors import mapped
from pyodcr.checkpoint.destinations.s3upload import IN_FLIGHT_BYTES, MAX_PARTS, in_flight, part_size
from pyodcr.errors import DestinationError

MIB, GIB = 1 << 20, 1 << 30


def test_part_sizes_double_every_2000_parts() -> None:
    assert [part_size(number, 8 * MIB) // MIB for number in (1, 2000, 2001, 4001, 6001, 10_000)] == [
        8, 8, 16, 32, 64, 128,
    ]  # fmt: skip
    assert sum(part_size(number, 8 * MIB) for number in range(1, MAX_PARTS + 1)) // GIB == 484


def test_no_part_is_larger_than_s3_allows() -> None:
    assert part_size(10_000, 4 * GIB) == 5 * GIB


@pytest.mark.parametrize("size", [5 * MIB, 8 * MIB, 16 * MIB, 128 * MIB])
def test_memory_is_bounded(size: int) -> None:
    assert in_flight(size) * size <= max(IN_FLIGHT_BYTES, size)
    assert in_flight(8 * MIB) == 2


@pytest.mark.parametrize(
    ("s3_code", "status", "code", "said"),
    [
        ("NoSuchBucket", 404, "destination-not-found", "there is no such bucket"),
        ("AccessDenied", 403, "destination-denied", "access denied"),
        ("SomethingNew", 403, "destination-denied", "access denied"),
        ("ExpiredToken", 400, "destination-denied", "expired"),
        ("RequestTimeTooSkewed", 403, "destination-denied", "clocks"),
        ("PermanentRedirect", 301, "destination-failed", "another region"),
        ("XMinioStorageFull", 507, "no-space", "no space left"),
        ("Whatever", 507, "no-space", "no space left"),
        ("SlowDown", 503, "destination-failed", "the server answers SlowDown (reduce your rate)"),
        ("KMS.NotFound", 400, "destination-failed", "the server answers KMS.NotFound (reduce your rate)"),
    ],
)
def test_what_an_answer_means(s3_code: str, status: int, code: str, said: str) -> None:
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

    answer = {
        "Error": {"Code": s3_code, "Message": "Reduce your\nrate."},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r1"},
    }
    with pytest.raises(DestinationError) as caught, mapped("write", "s3://b/k"):
        raise ClientError(answer, "UploadPart")
    assert caught.value.code == code
    assert caught.value.message.startswith("cannot write s3://b/k: ")
    assert said in caught.value.message
    assert caught.value.details["request_id"] == "r1"
