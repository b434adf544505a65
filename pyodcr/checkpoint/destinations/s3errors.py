"""What the failures of an S3 server mean, and what to do about them.

Error codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; a HEAD has no body, so botocore
gives the HTTP status as the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pyodcr.errors import DestinationError


@dataclass(frozen=True, slots=True)
class _Meaning:
    code: str
    said: str
    hint: str | None = None


_CREDENTIALS = "give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by AWS_PROFILE, or in ~/.aws/credentials"
_ENDPOINT = "is the server running? see AWS_ENDPOINT_URL_S3 and s3.endpoint in the configuration"
_TRY_AGAIN = "try again later"

_NO_BUCKET = _Meaning("destination-not-found", "there is no such bucket", "create it, or check name and endpoint")
_NO_OBJECT = _Meaning("destination-not-found", "there is no such object")
_NO_UPLOAD = _Meaning("destination-not-found", "the server lost the unfinished upload", "try again")
_DENIED = _Meaning(
    "destination-denied",
    "access denied",
    "allow s3:PutObject, s3:AbortMultipartUpload, s3:GetObject, s3:ListBucket and s3:DeleteObject to these credentials",
)
_EXPIRED = _Meaning("destination-denied", "the credentials have expired", "log in again")
_REGION = _Meaning("destination-failed", "the bucket is in another region", "set AWS_REGION, or s3.region")
_FULL = _Meaning("no-space", "the server has no space left", "free some there, or choose another destination")
_BROKEN = _Meaning("destination-unreachable", "the connection broke", _TRY_AGAIN)
_CHANGED = _Meaning("destination-failed", "it was replaced while it was read", "try again")

_ANSWERS = {
    "NoSuchBucket": _NO_BUCKET,
    "NoSuchKey": _NO_OBJECT,
    "404": _NO_OBJECT,
    "NoSuchUpload": _NO_UPLOAD,
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "AllAccessDisabled": _DENIED,
    "InvalidAccessKeyId": _Meaning("destination-denied", "the server does not know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": _Meaning("destination-denied", "the secret key is wrong", _CREDENTIALS),
    "InvalidToken": _Meaning("destination-denied", "the session token is not valid", _CREDENTIALS),
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": _Meaning(
        "destination-denied", "the clocks of this host and the server differ too much", "set this host's clock"
    ),
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidStorageClass": _Meaning(
        "destination-failed", "the server does not know the storage class", "see s3.storage_class in the configuration"
    ),
    "EntityTooLarge": _Meaning("destination-too-large", "the server takes no object of that size"),
    "QuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "XMinioStorageFull": _FULL,
    "InvalidObjectState": _Meaning(
        "destination-failed", "it lies in an archive tier", "bring it back first: aws s3api restore-object"
    ),
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
}


@contextmanager
def mapped(action: str, url: str) -> Iterator[None]:
    """What boto3 raises inside becomes :class:`DestinationError`: ``cannot ACTION URL: why``."""
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _error(action, url, _answer(error.response), **_identity(error.response)) from error
    except (BotoCoreError, HTTPError) as error:
        raise _error(action, url, _no_answer(error)) from error


def replaced(url: str) -> DestinationError:
    return _error("read", url, _CHANGED)


def cut_short(url: str) -> DestinationError:
    return _error("read", url, _BROKEN)


def _error(action: str, url: str, meaning: _Meaning, **details: object) -> DestinationError:
    return DestinationError(
        f"cannot {action} {url}: {meaning.said}", code=meaning.code, hint=meaning.hint, url=url, **details
    )


def _identity(response: Mapping[str, Any]) -> dict[str, object]:
    """What the operator of the server needs to find the request in its log."""
    answered = response.get("ResponseMetadata", {})
    found = {
        "s3_code": response.get("Error", {}).get("Code"),
        "http_status": answered.get("HTTPStatusCode"),
        "request_id": answered.get("RequestId"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _answer(response: Mapping[str, Any]) -> _Meaning:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _ANSWERS:
        return _ANSWERS[code]
    if status == 507:
        return _FULL
    if status in (401, 403):
        return _DENIED
    said = f"the server answers {code} ({_sentence(response.get('Error', {}).get('Message', ''))})"
    return _Meaning("destination-failed", said, _TRY_AGAIN if status >= 500 else None)


def _no_answer(error: Exception) -> _Meaning:
    from botocore import exceptions as boto  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError, NameResolutionError

    kwargs = getattr(error, "kwargs", {})
    server = _server(str(kwargs.get("endpoint_url") or ""))
    cause = getattr(kwargs.get("error"), "reason", kwargs.get("error"))
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return _Meaning("destination-denied", "there are no credentials", _CREDENTIALS)
    if isinstance(
        error,
        boto.ProfileNotFound | boto.CredentialRetrievalError | boto.SSOError | boto.TokenRetrievalError,
    ):
        return _Meaning("destination-denied", _sentence(error), _CREDENTIALS)
    if isinstance(error, boto.SSLError):
        hint = "if the server's certificate is your own, name its authority by AWS_CA_BUNDLE"
        return _Meaning("destination-unreachable", f"TLS to {server} failed: {_sentence(cause or error)}", hint)
    if isinstance(cause, NameResolutionError):
        return _Meaning("destination-unreachable", f"the host of {server} is not known", _ENDPOINT)
    if isinstance(error, boto.ReadTimeoutError | boto.ConnectTimeoutError):
        return _Meaning("destination-unreachable", f"{server} does not answer", _ENDPOINT)
    if isinstance(error, boto.EndpointConnectionError | boto.ProxyConnectionError):
        return _Meaning("destination-unreachable", f"no connection to {server}", _ENDPOINT)
    if isinstance(error, boto.HTTPClientError | boto.IncompleteReadError | boto.ResponseStreamingError | HTTPError):
        return _Meaning("destination-unreachable", f"the connection to {server} broke", _TRY_AGAIN)
    return _Meaning("destination-failed", _sentence(error))


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else "the server"


def _sentence(said: object) -> str:
    """Somebody else's message as the end of ours: one line, no capital, no full stop."""
    line = " ".join(str(said).split()).rstrip(".")
    return line[:1].lower() + line[1:]
