"""A multipart upload of unknown length, in bounded memory, that ends as a whole object or as nothing.

The upload is created before the first byte, so its ID can be recorded before anything has to be undone. Parts are
sent by threads while the next one fills: as many at once as fit into 16 MiB, and at least one. Part sizes double
every 2,000 parts, since S3 allows 10,000 of them and a pipe does not tell its length: 8 MiB parts reach 484 GiB.

Parts wait in the kernel's memory, not in ours: the ones being sent and the one being filled, (in flight + 1) x part
size. That is 24 MiB up to an archive of 15 GiB, 32 MiB up to 47 GiB, and 256 MiB at the very end.

A completion may end without an answer. The object then says whether it is ours: the upload gave it a random mark.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyodcr.checkpoint.destinations.base import Bytes, ObjectInfo
from pyodcr.checkpoint.destinations.s3client import MAX_PART_BYTES, Connection
from pyodcr.checkpoint.destinations.s3errors import mapped
from pyodcr.checkpoint.destinations.s3part import Part, PartBuffer
from pyodcr.config import S3Config
from pyodcr.errors import DestinationError
from pyodcr.jsonio import now

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MAX_PARTS = 10_000
PARTS_PER_SIZE = 2_000
IN_FLIGHT_BYTES = 16 << 20
ABORT_WAIT_S = 10  # for parts still being sent: an abort can miss those
MARK = "pyodcr-upload"


def part_size(number: int, first_bytes: int) -> int:
    """The size of part ``number``, counted from 1."""
    return min(first_bytes << ((number - 1) // PARTS_PER_SIZE), MAX_PART_BYTES)


def in_flight(part_bytes: int) -> int:
    return max(1, IN_FLIGHT_BYTES // part_bytes)


class S3Upload:
    def __init__(self, connection: Connection, settings: S3Config, bucket: str, key: str) -> None:
        """Creates the upload at the server."""
        self._connection = connection
        self._first_bytes = settings.part_size
        self._bucket = bucket
        self._key = key
        self._url = f"s3://{bucket}/{key}"
        self._mark = secrets.token_hex(16)
        self._size_bytes = 0
        self._parts: list[CompletedPartTypeDef] = []
        self._sending: deque[Part] = deque()
        self._sent = 0
        self._buffer = PartBuffer(part_size(1, self._first_bytes))
        self._filled = 0
        self._failure: DestinationError | None = None
        self._open = True
        with mapped("write", self._url):
            created = connection.quick.create_multipart_upload(
                Bucket=bucket, Key=key, Metadata={MARK: self._mark}, **_wishes(settings, checksums=connection.checksums)
            )
        self._id = created["UploadId"]

    def recovery(self) -> Mapping[str, str]:
        return {
            "scheme": "s3",
            "bucket": self._bucket,
            "key": self._key,
            "upload_id": self._id,
            "endpoint": self._connection.endpoint,
            "region": self._connection.quick.meta.region_name,
        }

    def write(self, data: Bytes) -> int:
        if self._failure:
            raise self._failure
        view = memoryview(data).cast("B")
        taken = 0
        while taken < len(view):
            count = min(len(view) - taken, self._buffer.size_bytes - self._filled)
            self._buffer.write(view[taken : taken + count], self._filled)
            self._filled += count
            taken += count
            if self._filled == self._buffer.size_bytes:
                self._send()
        self._size_bytes += taken
        return taken

    def commit(self) -> ObjectInfo:
        if self._failure:
            raise self._failure
        if self._filled or not self._sent:  # an empty object is one empty part
            self._send()
        while self._sending:
            self._collect()
        try:
            with mapped("write", self._url):
                done = self._connection.bulk.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
                )
            etag = done["ETag"]
        except DestinationError as error:
            etag = self._settle(error)
        self._open = False
        return ObjectInfo(self._url, self._size_bytes, now(), etag.strip('"'))

    def close(self) -> None:
        """Abort what was not committed. Raises :class:`DestinationError` if the server may have kept it."""
        if not self._open:
            return
        deadline = time.monotonic() + ABORT_WAIT_S
        for part in self._sending:
            part.wait(max(0.0, deadline - time.monotonic()))
        self._abort()

    def _send(self) -> None:
        """Send the filled part, waiting for a place; the failure of an earlier one shows here."""
        number = self._sent + 1
        if number > MAX_PARTS:
            raise DestinationError(
                f"cannot write {self._url}: more than {self._size_bytes >> 30} GiB need larger parts",
                code="destination-too-large",
                hint=f"set s3.part_size to more than {self._first_bytes}",
            )
        free = None
        while len(self._sending) >= in_flight(self._buffer.size_bytes) or (self._sending and self._sending[0].ended):
            free = self._collect()
        target = (self._connection.bulk, self._bucket, self._key, self._id)
        self._sending.append(Part(*target, number, self._buffer, self._filled))
        self._sent = number
        self._filled = 0
        size = part_size(number + 1, self._first_bytes)
        self._buffer = free if free is not None and free.size_bytes == size else PartBuffer(size)

    def _collect(self) -> PartBuffer:
        """Wait for the oldest part; its buffer is free again."""
        part = self._sending[0]
        try:
            with mapped("write", self._url):
                completed = part.result()
        except DestinationError as error:
            self._failure = error
            raise
        self._sending.popleft()
        self._parts.append(completed)
        return part.buffer

    def _abort(self) -> bool:
        known = abort(self._connection.quick, self._bucket, self._key, self._id)
        self._open = False
        return known

    def _settle(self, error: DestinationError) -> str:
        """The object's etag if the completion that ended with ``error`` did happen; raises ``error`` otherwise."""
        try:
            found = self._find()
            if found is None and not self._abort():
                found = self._find()  # the server completed it between our two questions
        except DestinationError as silence:
            error.hint = "it may have been written all the same: the server does not say"
            raise error from silence
        if found is None:
            raise error
        return found

    def _find(self) -> str | None:
        try:
            with mapped("read", self._url):
                found = self._connection.quick.head_object(Bucket=self._bucket, Key=self._key)
        except DestinationError as error:
            if error.code == "destination-not-found":
                return None
            raise
        marks = {name.lower(): value for name, value in found["Metadata"].items()}  # some servers write Pyodcr-Upload
        ours = marks.get(MARK) == self._mark and found["ContentLength"] == self._size_bytes
        return found["ETag"] if ours else None


def abort(client: S3Client, bucket: str, key: str, upload_id: str) -> bool:
    """Remove an upload and its parts; False if the server has no such upload, or not even the bucket, any more."""
    url = f"s3://{bucket}/{key}"
    try:
        with mapped("abort the upload to", url):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except DestinationError as error:
        if error.code == "destination-not-found":
            return False
        target = ["--bucket", bucket, "--key", key, "--upload-id", upload_id]
        raise DestinationError(
            f"an unfinished upload to {url} may remain: {upload_id}",
            code=error.code,
            hint=f"remove it by: {shlex.join(['aws', 's3api', 'abort-multipart-upload', *target])}",
            upload_id=upload_id,
        ) from error
    return True


def _wishes(settings: S3Config, *, checksums: bool) -> dict[str, Any]:
    """What the configuration, and the checksums of the parts, ask of a new upload."""
    wishes = {
        "StorageClass": settings.storage_class,
        "ServerSideEncryption": settings.server_side_encryption or ("aws:kms" if settings.kms_key_id else ""),
        "SSEKMSKeyId": settings.kms_key_id,
        "ChecksumAlgorithm": "CRC32" if checksums else "",
    }
    return {name: value for name, value in wishes.items() if value}
