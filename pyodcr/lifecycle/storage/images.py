"""What an image is: the configuration it was built with, and what the store knows of it.

The configuration is a JSON blob whose sha256 is the image's ID, so it is kept byte for byte and only read
here. Format: OCI image-spec ``config.md``; Docker's adds ``Healthcheck``, ``OnBuild``, ``comment`` and
``docker_version``. Unknown keys are preserved in ``extra``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.errors import ImageInvalid
from pyodcr.jsonio import key
from pyodcr.lifecycle.storage.refs import is_digest

if TYPE_CHECKING:
    from pyodcr.lifecycle.storage.layers import Staged

# uname(2)'s machine, where Go, and so every image, calls it otherwise
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}


def host_architecture() -> str:
    machine = os.uname().machine
    return _GO_ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How to ask a container whether it is well; times in nanoseconds, 0 for the default."""

    test: tuple[str, ...] = key("Test", ())
    interval_ns: int = key("Interval", 0)
    timeout_ns: int = key("Timeout", 0)
    start_period_ns: int = key("StartPeriod", 0)
    start_interval_ns: int = key("StartInterval", 0)
    retries: int = key("Retries", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """How a container of the image runs unless told otherwise. Ports and volumes are sets, written as Go does."""

    user: str = key("User", "")
    exposed_ports: Mapping[str, Any] = key("ExposedPorts", factory=dict)
    env: tuple[str, ...] = key("Env", ())
    entrypoint: tuple[str, ...] = key("Entrypoint", ())
    cmd: tuple[str, ...] = key("Cmd", ())
    volumes: Mapping[str, Any] = key("Volumes", factory=dict)
    working_dir: str = key("WorkingDir", "")
    labels: Mapping[str, str] = key("Labels", factory=dict)
    stop_signal: str = key("StopSignal", "")
    on_build: tuple[str, ...] = key("OnBuild", ())
    healthcheck: Healthcheck | None = key("Healthcheck", None)
    extra: Mapping[str, Any] = key("", factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A step of the build; ``empty_layer`` steps left no layer."""

    created: datetime | None = key("created", None)
    created_by: str = key("created_by", "")
    author: str = key("author", "")
    comment: str = key("comment", "")
    empty_layer: bool = key("empty_layer", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFs:
    """The layers, lowest first, by the sha256 of their uncompressed tar streams."""

    type: str = key("type", "layers", keep=True)
    diff_ids: tuple[str, ...] = key("diff_ids", (), keep=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDocument:
    """The configuration blob."""

    created: datetime | None = key("created", None)
    author: str = key("author", "")
    architecture: str = key("architecture", "", keep=True)
    variant: str = key("variant", "")
    os: str = key("os", "", keep=True)
    config: ImageConfig = key("config", ImageConfig(), keep=True)
    rootfs: RootFs = key("rootfs", RootFs(), keep=True)
    history: tuple[History, ...] = key("history", ())
    comment: str = key("comment", "")
    docker_version: str = key("docker_version", "")
    extra: Mapping[str, Any] = key("", factory=dict)


def parse_document(blob: bytes, where: str) -> ImageDocument:
    """Read a configuration blob; raises :class:`ImageInvalid`, its message beginning with ``where``."""
    try:
        document = jsonio.decode(ImageDocument, jsonio.loads(blob, "the configuration"))
    except jsonio.JsonInvalid as error:
        raise ImageInvalid(f"{where} is damaged: {error}") from error
    for layer in document.rootfs.diff_ids:
        if not is_digest(layer):  # diff IDs name directories of ours
            raise ImageInvalid(f'{where} is damaged: "{layer}" is not the digest of a layer')
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the store: a snapshot, which a later tag or removal does not change.

    ``names`` are full names, ``digests`` all manifest digests it is known by, ``digest`` the first of them;
    ``layers`` are diff IDs, lowest first; ``size_bytes`` is the sum of the uncompressed layers.
    """

    id: str
    names: tuple[str, ...]
    digest: str
    size_bytes: int
    layers: tuple[str, ...]
    config: ImageConfig
    architecture: str
    os: str
    created: datetime | None = None
    history: tuple[History, ...] = ()
    variant: str = ""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    digests: tuple[str, ...] = ()
    names_history: tuple[str, ...] = ()
    manifest_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """An image about to enter: everything checked, ``staged`` the layers (by diff ID) that were not here before."""

    config: bytes
    document: ImageDocument
    names: tuple[str, ...]
    digests: tuple[str, ...]
    manifest_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    staged: Mapping[str, Staged]
