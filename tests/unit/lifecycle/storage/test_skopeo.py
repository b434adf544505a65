"""What skopeo says when it fails, as it said it, and what a user is told."""

from __future__ import annotations

import pytest

from pyodcr.errors import CommandFailed, ImageInvalid, NotFound, PyodcrError, SystemFailed, Unsupported
from pyodcr.lifecycle.storage import refs, skopeo
from pyodcr.process import Result

IMAGE = refs.source("quay.io/team/x:1")
NAME = "quay.io/team/x:1"


def fatal(message: str) -> str:
    return (
        f'time="2024-01-01T00:00:00Z" level=warning msg="x"\ntime="2024-01-01T00:00:00Z" level=fatal msg="{message}"\n'
    )


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        (
            r"initializing source docker://quay.io/team/x:1: pinging container registry quay.io: "
            r"Get \"https://quay.io/v2/\": dial tcp 10.0.0.1:443: connect: connection refused",
            CommandFailed,
            "registry-unreachable",
        ),
        (r"pinging container registry q: Get \"https://q/v2/\": dial tcp: lookup q: no such host", CommandFailed, None),
        (r"Get \"https://q/v2/\": dial tcp 1.2.3.4:443: i/o timeout", CommandFailed, "registry-unreachable"),
        (r"StatusCode: 503, received unexpected HTTP status: 503 Service Unavailable", CommandFailed, None),
        (
            r"Error parsing image name: reading manifest 1 in quay.io/team/x: manifest unknown: manifest unknown",
            NotFound,
            "not-found",
        ),
        (r"reading manifest 1 in q/x: name unknown: repository not found", NotFound, "not-found"),
        (r"initializing source oci:/nonexist:x: open /nonexist/index.json: no such file or directory", NotFound, None),
        (
            r"reading manifest latest in docker.io/library/nope: requested access to the resource is denied",
            CommandFailed,
            "registry-denied",
        ),
        (r"reading manifest 1 in q/x: unauthorized: authentication required", CommandFailed, "registry-denied"),
        (r"Get \"https://q/v2/\": x509: certificate signed by unknown authority", CommandFailed, "registry-untrusted"),
        (
            r"Get \"https://q/v2/\": http: server gave HTTP response to HTTPS client",
            CommandFailed,
            "registry-untrusted",
        ),
        (
            r"choosing image instance: no image found in manifest list for architecture amd64, variant \"\", OS linux",
            Unsupported,
            "wrong-architecture",
        ),
        (
            r"choosing image instance: no image found in image index for architecture amd64, variant \"\", OS linux",
            Unsupported,
            "wrong-architecture",
        ),
        (r"writing blob: write /x/dir-put-blob1: no space left on device", SystemFailed, "no-space"),
        (r"Error loading trust policy: open /etc/containers/policy.json: no such file or directory", Unsupported, None),
        (r"Source image rejected: A signature was required, but no signature exists", CommandFailed, "policy"),
        (
            r"initializing source docker-archive:/x: loading tar component manifest.json: unexpected EOF",
            ImageInvalid,
            None,
        ),
        (
            r"reading blob sha256:1: Digest did not match, expected sha256:1, got sha256:2",
            ImageInvalid,
            "image-invalid",
        ),
        (r"something new", CommandFailed, "command-failed"),
    ],
)
def test_failures_are_sorted(message: str, kind: type[PyodcrError], code: str | None) -> None:
    error = skopeo.failure(IMAGE, Result(1, "", fatal(message)))
    assert type(error) is kind
    if code is not None:
        assert error.code == code
    assert "\n" not in error.message
    assert not error.message.endswith(".")


def test_the_message_names_the_image_and_the_cause() -> None:
    message = r"pinging container registry quay.io: Get \"https://quay.io/v2/\": connect: connection refused"
    error = skopeo.failure(IMAGE, Result(1, "", fatal(message)))
    assert error.message == f"cannot pull {NAME}: the registry cannot be reached: connection refused"
    assert isinstance(error, CommandFailed)
    assert error.status == 1
    assert "level=fatal" in error.stderr


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("", "exit status 2"),
        ("panic: out of memory\n", "panic: out of memory"),
        (r'time="x" level=fatal msg="bad \x1b escape"', "escape"),
        (r'time="x" level=fatal msg="one\ntwo"', "one"),
    ],
)
def test_odd_logs(log: str, says: str) -> None:
    error = skopeo.failure(IMAGE, Result(2, "", log))
    assert says in error.message
    assert "two" not in error.message
