"""An S3 object as a stream that goes on where a broken connection left it."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Any

from pyodcr.checkpoint.destinations.s3errors import cut_short, mapped, replaced
from pyodcr.errors import DestinationError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

RESUMES = 4  # in a row, without a byte between them; each is a request that boto3 tries three times
PAUSE_S = 0.5


class S3Reader(io.RawIOBase):
    """Holds one GET, begun at the position, and begins another after it broke or after a seek.

    The etag of the first answer must be that of all others: no stream is made of two objects.
    """

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._url = f"s3://{bucket}/{key}"
        self._position = 0
        self._body: Any = None  # botocore's StreamingBody
        with mapped("read", self._url):
            answer = client.get_object(Bucket=bucket, Key=key)
        self._etag = answer["ETag"]
        self._size_bytes = answer["ContentLength"]
        self._body = answer["Body"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        resumes = 0
        while self._position < self._size_bytes:
            try:
                with mapped("read", self._url):
                    block: bytes = (self._body or self._request()).read(len(view))
                if not block:
                    raise cut_short(self._url)
            except DestinationError as error:
                self._drop()
                if error.code != "destination-unreachable" or resumes == RESUMES:
                    raise
                resumes += 1
                time.sleep(PAUSE_S * resumes)
                continue
            view[: len(block)] = block
            self._position += len(block)
            return len(block)
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset != self._position:
            self._drop()
            self._position = max(0, base + offset)
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _request(self) -> Any:
        answer = self._client.get_object(
            Bucket=self._bucket, Key=self._key, Range=f"bytes={self._position}-", IfMatch=self._etag
        )
        self._body = answer["Body"]
        if answer["ETag"] != self._etag:  # some servers do not know If-Match
            raise replaced(self._url)
        if not answer.get("ContentRange", "").startswith(f"bytes {self._position}-"):
            raise DestinationError(f"cannot read {self._url}: the server does not send parts", url=self._url)
        return self._body

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()
