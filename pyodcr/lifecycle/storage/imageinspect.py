"""An image as ``image inspect`` and ``image ls`` show it: Podman's keys, as plain JSON values.

Source: Podman's ``libimage.ImageData`` and ``entities.ImageSummary``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyodcr import jsonio
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.storage import refs
from pyodcr.lifecycle.storage.images import Image
from pyodcr.lifecycle.storage.manifest import DOCKER_MANIFEST

NONE = "<none>"


def inspect(image: Image, layer_dirs: Sequence[Path], *, whole: bool = False) -> JsonObject:
    """``layer_dirs`` are the layers on disk, topmost first; ``whole``: with the empty fields of its configuration."""
    config = jsonio.encode(image.config, whole=whole)
    healthcheck = config.pop("Healthcheck", None)
    value: JsonObject = {
        "Id": image.id,
        "Digest": image.digest,
        "RepoTags": repo_tags(image),
        "RepoDigests": repo_digests(image),
        "Parent": "",  # only a build leaves images that are others' parents
        "Comment": _comment(image),
        "Created": jsonio.format_time(image.created),
        "Config": config,
        "Version": image.docker_version,
        "Author": image.author,
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
        "GraphDriver": {"Name": "overlay", "Data": _graph_data(layer_dirs)},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Labels": dict(image.config.labels) or None,
        "Annotations": dict(image.annotations),
        "ManifestType": image.manifest_type,
        "User": image.config.user,
        "History": [jsonio.encode(step) for step in image.history],
        "NamesHistory": list(image.names_history),
    }
    return value | ({"Healthcheck": healthcheck} if healthcheck or whole else {})


def summary(image: Image, *, containers: int) -> JsonObject:
    """A line of ``image ls --format json``; ``containers`` is how many use the image."""
    created = image.created or datetime.fromtimestamp(0, UTC)
    value: JsonObject = {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": repo_tags(image) or None,
        "RepoDigests": repo_digests(image),
        "Size": image.size_bytes,
        "SharedSize": 0,
        "VirtualSize": image.size_bytes,
        "Labels": dict(image.config.labels) or None,
        "Containers": containers,
        "Arch": image.architecture,
        "Digest": image.digest,
        "History": list(image.names_history),
        "Names": list(image.names),
        "Os": image.os,
        "Created": int(created.timestamp()),
        "CreatedAt": jsonio.format_time(created),
    }
    return value if image.names else value | {"Dangling": True}


def repo_tags(image: Image) -> list[str]:
    return [name for name in image.names if refs.parse(name).tag]


def repo_digests(image: Image) -> list[str]:
    repositories = {refs.parse(name).repository for name in image.names}
    return sorted(f"{repository}@{digest}" for repository in repositories for digest in image.digests)


def repositories_and_tags(image: Image) -> list[tuple[str, str]]:
    """The rows that ``image ls`` makes of an image: one for each tag, ``<none>`` where there is none."""
    parsed = [refs.parse(name) for name in image.names]
    tagged = [(name.repository, name.tag) for name in parsed if name.tag]
    return tagged or [(name.repository, NONE) for name in parsed[:1]] or [(NONE, NONE)]


def _comment(image: Image) -> str:
    if image.manifest_type == DOCKER_MANIFEST:
        return image.comment
    return image.history[0].comment if image.history else ""


def _graph_data(layer_dirs: Sequence[Path]) -> dict[str, Any]:
    upper, *lowers = [str(path) for path in layer_dirs] or [""]
    return ({"LowerDir": ":".join(lowers)} if lowers else {}) | {"UpperDir": upper}
