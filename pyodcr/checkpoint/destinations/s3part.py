"""One part of a multipart upload, sent by a thread of its own.

The threads are daemons: a server that takes no more bytes must not keep a process alive that has given up.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, UploadPartOutputTypeDef


class PartBuffer:
    """Room for a part, in memory that the kernel keeps for us (memfd_create(2)): we touch no more than a block of it.

    It is closed with the last that uses it: a thread may still be sending from it when its upload was given up.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._fd = os.memfd_create("part")

    def __del__(self) -> None:
        os.close(self._fd)

    def write(self, data: memoryview, offset: int) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], offset + written)

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)


class Part:
    """The first ``size_bytes`` of ``buffer``, which belongs to the part until it has ended."""

    def __init__(
        self, client: S3Client, bucket: str, key: str, upload_id: str, number: int, buffer: PartBuffer, size_bytes: int
    ) -> None:
        self.buffer = buffer
        self._number = number
        self._answer: UploadPartOutputTypeDef | None = None
        self._error: BaseException | None = None

        def send() -> None:
            body = _Body(buffer, size_bytes)
            try:
                self._answer = client.upload_part(
                    Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body
                )
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=send, name=f"part-{number}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def result(self) -> CompletedPartTypeDef:
        """Wait for the end; what completing the upload needs to know of the part. Raises what boto3 raised."""
        self._thread.join()
        if self._answer is None:
            assert self._error is not None
            raise self._error
        completed: CompletedPartTypeDef = {"PartNumber": self._number, "ETag": self._answer["ETag"]}
        if checksum := self._answer.get("ChecksumCRC32"):
            completed["ChecksumCRC32"] = checksum
        return completed


class _Body:
    """A buffer as the file that boto3 hashes, sends, and rewinds for a second try.

    A file because urllib3 sends it block by block, each within the timeout; a buffer it would send by one call,
    and the whole part would have to be out within that time.
    """

    def __init__(self, buffer: PartBuffer, size_bytes: int) -> None:
        self._buffer = buffer
        self._size_bytes = size_bytes
        self._position = 0

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int | None = None) -> bytes:
        left = self._size_bytes - self._position
        block = self._buffer.read(left if size is None or size < 0 else min(size, left), self._position)
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position
