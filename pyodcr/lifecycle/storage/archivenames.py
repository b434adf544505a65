"""How an archive or layout calls the image that is pulled from it, as Podman reads it.

    docker-archive:FILE          manifest.json: RepoTags
    oci-archive:FILE             index.json: io.containerd.image.name, org.opencontainers.image.ref.name
    oci:DIR:NAME                 NAME; without it none, like dir:DIR
    containers-storage:NAME, docker-daemon:NAME

Short names of archives become ``localhost/`` ones, others Docker Hub's. An archive may be compressed in any
of the usual forms.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyodcr.errors import ImageInvalid, NotFound, UsageError
from pyodcr.lifecycle.storage import refs
from pyodcr.lifecycle.storage.compression import Hashed, decompressed
from pyodcr.lifecycle.storage.manifest import MAX_BYTES
from pyodcr.lifecycle.storage.refs import Source, Transport

# containerd's is the full name; the standard one is often only a tag
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def names(source: Source) -> tuple[str, ...]:
    """The full names, as a catalogue has them: the last one first, as if given one after the other.

    Raises :class:`UsageError` where the archive has several images and none was chosen.
    """
    if source.transport is Transport.DOCKER_ARCHIVE:
        found = _repo_tags(_read_member(source.path, "manifest.json"), source)
        return tuple(str(refs.local(name)) for name in reversed(found))
    if source.transport is Transport.OCI_ARCHIVE:
        found = _annotated(_read_member(source.path, "index.json"), source)
        return tuple(str(refs.local(name)) for name in found)
    name = source.inner_name if source.transport.is_path else source.rest.rpartition("]")[2]  # [driver@root+run]NAME
    return (str(refs.remote(name)),) if name else ()


def _repo_tags(entries: Any, source: Source) -> Sequence[str]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageInvalid(f"{source} is damaged: manifest.json is not a list of images")
    tags: list[list[str]] = [[str(tag) for tag in entry.get("RepoTags") or []] for entry in entries]
    wanted = source.inner_name
    if wanted.startswith("@") and wanted[1:].isdecimal():
        return tags[int(wanted[1:])] if int(wanted[1:]) < len(tags) else []
    if wanted:
        return [tag for image in tags for tag in image if refs.remote(tag) == refs.remote(wanted)]
    if len(tags) != 1:
        choices = [image[0] if image else f"@{index}" for index, image in enumerate(tags)]
        raise UsageError(
            f"{source.path} holds {len(tags)} images",
            hint=f"choose one, as {source}:{choices[0]}; there are {', '.join(choices)}" if choices else None,
        )
    return tags[0]


def _annotated(index: Any, source: Source) -> Sequence[str]:
    images = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(images, list):
        raise ImageInvalid(f"{source} is damaged: index.json lists no images")
    for image in images:
        annotations = image.get("annotations") if isinstance(image, dict) else None
        known = annotations if isinstance(annotations, Mapping) else {}
        found = [known[name] for name in NAME_ANNOTATIONS if isinstance(known.get(name), str)]
        if found and source.inner_name in ("", *found):
            return found[:1]
    return []


def _read_member(path: Path, name: str) -> Any:
    """A JSON file at the top of a tar archive."""
    try:
        with path.open("rb") as file:
            plain = Hashed(decompressed(Hashed(file, str(path))), str(path))
            with tarfile.open(fileobj=io.BufferedReader(plain), mode="r|") as archive:
                for member in archive:
                    if member.name.removeprefix("./") == name and member.size <= MAX_BYTES:
                        content = archive.extractfile(member)
                        return json.loads(content.read() if content else b"")
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file", path=str(path)) from None
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise ImageInvalid(f"{path} is not an image archive: {error}") from error
    except OSError as error:
        raise ImageInvalid(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    raise ImageInvalid(f"{path} is not an image archive: it has no {name}")
