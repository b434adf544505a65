"""The manifest of an image: its configuration and compressed layers by digest.

Known are OCI's (image-spec ``manifest.md``) and Docker's schema 2; a list of manifests was resolved to
the one for this platform before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pyodcr import jsonio
from pyodcr.errors import ImageInvalid
from pyodcr.jsonio import key
from pyodcr.lifecycle.storage.refs import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
MAX_BYTES = 4 << 20  # as containers/image: more is no manifest and no configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob: what it is, its sha256, its length."""

    media_type: str = key("mediaType", "", keep=True)
    digest: str = key("digest")
    size_bytes: int = key("size", keep=True)

    @property
    def hex(self) -> str:
        return self.digest.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    schema_version: int = key("schemaVersion", 2, keep=True)
    media_type: str = key("mediaType", "", keep=True)
    config: Descriptor = key("config")
    layers: tuple[Descriptor, ...] = key("layers", (), keep=True)
    annotations: Mapping[str, str] = key("annotations", factory=dict)


def digest_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def parse(blob: bytes, where: str) -> Manifest:
    """Read a manifest; raises :class:`ImageInvalid`, its message beginning with ``where``."""
    try:
        document = jsonio.loads(blob, "the manifest")
        if document.get("schemaVersion") == 1:
            raise ImageInvalid(f"{where} has a manifest of schema 1, which is no longer supported")
        found = jsonio.decode(Manifest, document)
    except jsonio.JsonInvalid as error:
        raise ImageInvalid(f"{where} is damaged: {error}") from error
    if found.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        kind = found.config.media_type or "unknown"
        raise ImageInvalid(f"{where} is not a container image: its configuration is of the type {kind}")
    for blob_ in (found.config, *found.layers):
        if not is_digest(blob_.digest):  # digests become file names
            raise ImageInvalid(f'{where} is damaged: "{blob_.digest}" is not a digest')
    return found
