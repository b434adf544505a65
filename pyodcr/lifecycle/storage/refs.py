"""Names of images, and the places images come from, as Podman, Docker and skopeo write them.

    [DOMAIN/]PATH[:TAG][@DIGEST]

The first component is a domain if it holds a dot or a colon, or is ``localhost``. A name without one is a
*short name*: what a user makes here is completed with ``localhost/`` (Podman's ``NormalizeName``), what comes
from a registry with ``docker.io/`` (and ``library/`` where there is one component only). Without tag and
digest the tag is ``latest``; with both the digest alone counts, as in Docker. Only sha256 digests are known.

Grammar: https://github.com/distribution/reference, sources: containers-transports(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pyodcr.errors import UsageError

DOCKER_HUB = "docker.io"
LOCALHOST = "localhost"
MAX_REPOSITORY_CHARS = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name. ``domain`` is empty in a short name, ``tag`` and ``digest`` where they were not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}" if self.domain else self.path

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Read a name as it was written; raises :class:`UsageError` where it breaks the grammar."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise _invalid(text)
    reference = Reference(found["domain"] or "", found["path"], found["tag"] or "", found["digest"] or "")
    if reference.domain and not _is_domain(reference.domain):
        reference = replace(reference, domain="", path=reference.repository)
    if (
        len(reference.repository) > MAX_REPOSITORY_CHARS
        or reference.path != reference.path.lower()
        or _HEX_ID.fullmatch(reference.repository)
    ):
        raise _invalid(text)
    return replace(reference, tag="") if reference.digest else reference


def _is_domain(text: str) -> bool:
    return "." in text or ":" in text or text == LOCALHOST


def _invalid(text: str) -> UsageError:
    name = text.partition("@")[0]
    domain, slash, rest = name.partition("/")
    if slash and _is_domain(domain):
        name = rest
    repository = name.partition(":")[0]  # behind the domain a colon can only begin a tag
    reason = "it is not of the form [REGISTRY/]NAME[:TAG][@sha256:DIGEST]"
    if len(text) > MAX_REPOSITORY_CHARS:
        reason = f"it is longer than {MAX_REPOSITORY_CHARS} characters"
    elif _HEX_ID.fullmatch(repository):
        reason = "64 hexadecimal digits are an ID, not a name"
    elif repository != repository.lower():
        reason = "the repository must be in lower case"
    return UsageError(f'invalid image name "{text}": {reason}', code="invalid-reference", reference=text)


def local(text: str) -> Reference:
    """The full name of an image made here: short names belong to ``localhost``."""
    found = parse(text)
    return _tagged(_on_hub(found) if found.domain else replace(found, domain=LOCALHOST))


def remote(text: str) -> Reference:
    """The full name of an image in a registry: short names belong to Docker Hub."""
    return _tagged(_on_hub(parse(text)))


def candidates(text: str) -> tuple[Reference, ...]:
    """The full names that ``text`` may mean among the images here, in Podman's order."""
    found = local(text), remote(text)
    return found[:1] if found[0] == found[1] else found


def _tagged(reference: Reference) -> Reference:
    return reference if reference.tag or reference.digest else replace(reference, tag="latest")


def _on_hub(reference: Reference) -> Reference:
    domain = DOCKER_HUB if reference.domain in ("", "index.docker.io") else reference.domain
    single = domain == DOCKER_HUB and "/" not in reference.path
    return replace(reference, domain=domain, path=f"library/{reference.path}" if single else reference.path)


class Transport(StrEnum):
    """Where skopeo can take an image from (containers-transports(5))."""

    DOCKER = "docker"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DIRECTORY = "dir"
    CONTAINERS_STORAGE = "containers-storage"
    DOCKER_DAEMON = "docker-daemon"

    @property
    def is_path(self) -> bool:
        return self in (Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE, Transport.DIRECTORY)


@dataclass(frozen=True, slots=True)
class Source:
    """A place an image is pulled from: ``TRANSPORT:REST``, for a registry ``docker://NAME``."""

    transport: Transport
    rest: str

    def __str__(self) -> str:
        slashes = "//" if self.transport is Transport.DOCKER else ""
        return f"{self.transport}:{slashes}{self.rest}"

    @property
    def path(self) -> Path:
        """The file or directory of a transport that has one."""
        text = self.rest if self.transport is Transport.DIRECTORY else self.rest.partition(":")[0]
        return Path(text)

    @property
    def inner_name(self) -> str:
        """What follows the path: which of the images there; empty where it was not said."""
        return "" if self.transport is Transport.DIRECTORY else self.rest.partition(":")[2]


def source(text: str) -> Source:
    """What ``pull`` was asked for. A bare name is one in a registry; ``docker:tag`` is an image named docker."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in list(Transport):
        return Source(Transport.DOCKER, str(remote(text)))
    transport = Transport(scheme)
    if transport is Transport.DOCKER:
        return Source(transport, str(remote(rest.removeprefix("//") if rest.startswith("//") else text)))
    if not rest:
        raise UsageError(f'"{text}" does not say which image', code="invalid-reference", reference=text)
    return Source(transport, rest)
