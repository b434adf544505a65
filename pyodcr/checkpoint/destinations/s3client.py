"""The way to an S3 server: boto3 clients.

Endpoint, region and credentials are AWS' own business: its variables, files and profiles; ``[s3]`` in our
configuration overrides endpoint and region. Retries are botocore's standard ones: 3 attempts, or AWS_MAX_ATTEMPTS.
boto3 is imported when the first client is made: it costs 0.3 s and 35 MiB. Its transfer manager is not used, so
neither is the CRT client that it would choose by itself, and that ignores the endpoint.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyodcr.checkpoint.destinations.s3errors import mapped
from pyodcr.config import S3Config
from pyodcr.errors import ConfigInvalid

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
# urllib3 limits each send by the connect timeout, too. A server that takes no bytes for a while, because its disk is
# slow, is not gone: five seconds would fail the upload.
STALL_TIMEOUT_S = 30
MIN_PART_BYTES = 5 << 20  # S3 refuses smaller parts, the last one excepted, and says so only at the end
MAX_PART_BYTES = 5 << 30


class Connection:
    """Clients for one server, made at their first use; they may be used from several threads."""

    def __init__(self, settings: S3Config) -> None:
        _require_valid(settings)
        self._settings = settings

    @cached_property
    def quick(self) -> S3Client:
        """For questions: whether the server is there shows soon."""
        return self._client(CONNECT_TIMEOUT_S)

    @cached_property
    def bulk(self) -> S3Client:
        """For requests with a body to send."""
        return self._client(STALL_TIMEOUT_S)

    @property
    def endpoint(self) -> str:
        """The server's URL; empty for AWS, which has one for each bucket."""
        url = self.quick.meta.endpoint_url
        return "" if _is_aws(url) else url

    @property
    def checksums(self) -> bool:
        """Whether parts are sent with a CRC32, and the upload has to say so at its beginning and at its end."""
        config: Any = self.quick.meta.config
        return bool(config.request_checksum_calculation == "when_supported")

    @cached_property
    def _session(self) -> Any:
        import boto3  # type: ignore[import-untyped]

        return boto3.Session()

    def _client(self, connect_timeout_s: int) -> S3Client:
        # AWS wants checksums (object lock refuses parts without), other servers often do not know them. Only a
        # finished client tells which one it is; the second of a session costs 10 ms.
        try:
            with mapped("use", self._settings.endpoint or "S3"):
                client = self._make(connect_timeout_s, "when_required")
                return self._make(connect_timeout_s, "when_supported") if _is_aws(client.meta.endpoint_url) else client
        except ValueError as error:
            raise ConfigInvalid(f"the S3 endpoint is not a URL: {error}", hint="see AWS_ENDPOINT_URL_S3") from error

    def _make(self, connect_timeout_s: int, checksums: str) -> S3Client:
        from botocore.config import Config  # type: ignore[import-untyped]

        style = self._settings.addressing_style
        client: S3Client = self._session.client(
            "s3",
            endpoint_url=self._settings.endpoint or None,
            region_name=self._settings.region or None,
            config=Config(
                connect_timeout=connect_timeout_s,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard"},
                request_checksum_calculation=checksums,
                # An archive carries its own checksums, and a read that was resumed got only a part of the object.
                response_checksum_validation="when_required",
                s3={"addressing_style": style} if style else None,
            ),
        )
        return client


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _require_valid(settings: S3Config) -> None:
    if not MIN_PART_BYTES <= settings.part_size <= MAX_PART_BYTES:
        raise ConfigInvalid(f"s3.part_size is {settings.part_size}, not {MIN_PART_BYTES} to {MAX_PART_BYTES} bytes")
    if settings.addressing_style not in ("", "auto", "path", "virtual"):
        raise ConfigInvalid(f"s3.addressing_style is {settings.addressing_style}, not auto, path or virtual")
    if settings.endpoint and not settings.endpoint.startswith(("http://", "https://")):
        raise ConfigInvalid(f"s3.endpoint is {settings.endpoint}, not a URL of http:// or https://")
