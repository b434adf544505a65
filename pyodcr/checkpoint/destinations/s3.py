"""Archives in S3: ``s3://bucket/key``.

The key is taken as it is written, nothing is decoded. An object that is there is replaced, as cp does.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from pyodcr.checkpoint.destinations.base import ObjectInfo, aborting
from pyodcr.checkpoint.destinations.s3client import Connection
from pyodcr.checkpoint.destinations.s3errors import mapped
from pyodcr.checkpoint.destinations.s3reader import S3Reader
from pyodcr.checkpoint.destinations.s3upload import S3Upload
from pyodcr.checkpoint.destinations.s3upload import abort as abort_upload
from pyodcr.config import Config, S3Config
from pyodcr.errors import DestinationError, UsageError

BUFFER_BYTES = 1 << 20
MAX_KEY_BYTES = 1024
# Wider than AWS' rules of today: buckets of before 2018, and of other servers, have capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_BUCKET_HINT = "write s3://BUCKET/KEY; a bucket has 3 to 63 letters, digits, ., _ and -"


class S3Destination:
    durable = True

    def __init__(self, bucket: str, key: str, settings: S3Config) -> None:
        self._bucket = bucket
        self._key = key
        self._settings = settings
        self._connection = Connection(settings)

    @classmethod
    def from_url(cls, text: str, config: Config) -> S3Destination:
        return cls(*parse(text), config.s3)

    @staticmethod
    def abort(recovery: Mapping[str, str], config: Config) -> None:
        # The server of the upload, not the one that is configured now.
        settings = replace(config.s3, endpoint=recovery["endpoint"], region=recovery["region"])
        abort_upload(Connection(settings).quick, recovery["bucket"], recovery["key"], recovery["upload_id"])

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        """Creates and aborts an upload: that alone shows bucket, credentials, permission and storage class."""
        with self.put():
            pass

    @contextmanager
    def put(self) -> Iterator[S3Upload]:
        with aborting(S3Upload(self._connection, self._settings, self._bucket, self._key)) as upload:
            yield upload

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        raw = S3Reader(self._connection.quick, self._bucket, self._key)
        with io.BufferedReader(raw, BUFFER_BYTES) as stream:
            yield stream

    def stat(self) -> ObjectInfo | None:
        try:
            with mapped("read", self.url):
                found = self._connection.quick.head_object(Bucket=self._bucket, Key=self._key)
        except DestinationError as error:
            if error.code == "destination-not-found":
                return None
            raise
        return ObjectInfo(self.url, found["ContentLength"], found["LastModified"], found["ETag"].strip('"'))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = self._key[: self._key.rfind("/") + 1]
        with mapped("list", f"s3://{self._bucket}/{folder}"):
            pages = self._connection.quick.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=folder + prefix, Delimiter="/"
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    url = f"s3://{self._bucket}/{found['Key']}"
                    yield ObjectInfo(url, found["Size"], found["LastModified"], found["ETag"].strip('"'))

    def delete(self) -> None:
        with mapped("delete", self.url):
            self._connection.quick.delete_object(Bucket=self._bucket, Key=self._key)


def parse(text: str) -> tuple[str, str]:
    """Bucket and key of a URL; raises :class:`UsageError`, which does not repeat credentials."""
    bucket, slash, key = text.partition("://")[2].partition("/")
    if "@" in bucket:
        raise UsageError(
            "an s3:// URL holds no credentials", hint="give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{text} has no valid bucket name", hint=_BUCKET_HINT)
    if not slash or not key or key.endswith("/"):
        raise UsageError(f"{text} names no object", hint="write s3://bucket/key")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise UsageError(f"the key of s3://{bucket} is longer than {MAX_KEY_BYTES} bytes")
    return bucket, key
