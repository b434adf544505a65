"""``image pull``: when to fetch, and an image taken in once every hash of it was checked.

Policies are Podman's. A registry is first asked for the manifest alone, by the tag; if an image here has its
digest, that one gets the name and nothing is fetched. Else the image is fetched by that digest, not by the tag
once more, which may have moved. Short names mean Docker Hub: registries.conf's aliases are not consulted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pyodcr.errors import Ambiguous, ImageInvalid, NotFound, PyodcrError, Unsupported, UsageError
from pyodcr.lifecycle.storage import archivenames, images, manifest, refs
from pyodcr.lifecycle.storage.images import Image, ImageDocument, NewImage, host_architecture
from pyodcr.lifecycle.storage.layers import Staged
from pyodcr.lifecycle.storage.manifest import Descriptor, Manifest
from pyodcr.lifecycle.storage.progress import Phase, Progress, Step
from pyodcr.lifecycle.storage.refs import Source, Transport
from pyodcr.lifecycle.storage.skopeo import Access, Skopeo
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.storage.imagestore import ImageStore

_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")


class PullPolicy(StrEnum):
    """When to fetch an image that may be here already."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"
    NEWER = "newer"  # and if nobody can be asked, what is here will do


def pull(store: ImageStore, ref: str, *, policy: PullPolicy, access: Access, report: Progress) -> Image:
    """See :meth:`ImageStore.pull`. An archive or layout is read whatever the policy: it is right here."""
    if _ID.fullmatch(ref):
        if policy is PullPolicy.ALWAYS:
            raise UsageError(f"{ref} is an ID: only a name can be pulled")
        return store.lookup(ref)
    source = refs.source(ref)
    if source.transport is not Transport.DOCKER:
        return _fetched(store, source, archivenames.names(source), (), access, report)
    here = _present(store, ref.removeprefix("docker://"))
    if here is not None and _suffices(*here, policy):
        return here[0]
    if policy is PullPolicy.NEVER:
        raise NotFound(f"{ref}: image not known", reference=ref)
    try:
        return _from_registry(store, source, access, report)
    except PyodcrError as error:
        if here is None or policy is not PullPolicy.NEWER:
            raise
        report(Step(Phase.WARNING, f"the image that is here has to do: {error}"))
        return here[0]


def _present(store: ImageStore, ref: str) -> tuple[Image, str] | None:
    """The whole image that ``ref`` means here, and the name it has: empty if ``ref`` is the beginning of its ID."""
    try:
        image, name = store.resolve(ref)
    except (NotFound, Ambiguous, ImageInvalid):
        return None
    return (image, name) if store.is_whole(image) else None


def _suffices(image: Image, name: str, policy: PullPolicy) -> bool:
    if policy is PullPolicy.ALWAYS and not name:
        raise UsageError(f"{image.id[:12]} is an ID: only a name can be pulled")
    return policy in (PullPolicy.MISSING, PullPolicy.NEVER) or not name


def _from_registry(store: ImageStore, source: Source, access: Access, report: Progress) -> Image:
    name = refs.parse(source.rest)
    with store.staged() as workspace:
        digest = manifest.digest_of(Skopeo(workspace, access).manifest(source))
    here = _present(store, digest)
    if here is not None:
        return store.name(here[0].id, name, (digest,))
    pinned = replace(source, rest=str(replace(name, tag="", digest=digest)))
    return _fetched(store, pinned, (str(name),), (digest,), access, report)


def _fetched(
    store: ImageStore,
    source: Source,
    names: tuple[str, ...],
    digests: tuple[str, ...],
    access: Access,
    report: Progress,
) -> Image:
    """Fetch, check, unpack, commit. ``digests`` are others that the image is known by: that of its list."""
    where = names[0] if names else str(source)
    with store.staged() as stage:
        blobs = stage / "image"
        Skopeo(stage, access).copy(source, blobs, lambda done: report(Step(Phase.COPY, where, done)))
        raw = _read(blobs / "manifest.json", where)
        described = manifest.parse(raw, where)
        config = _read(blobs / described.config.hex, where)
        if manifest.digest_of(config) != described.config.digest:
            raise ImageInvalid(f"{where} is damaged: its configuration does not have the digest of the manifest")
        document = images.parse_document(config, where)
        _check(document, described, where, report)
        new = NewImage(
            config=config,
            document=document,
            names=names,
            digests=tuple(dict.fromkeys([manifest.digest_of(raw), *digests])),
            manifest_type=described.media_type or manifest.OCI_MANIFEST,
            annotations=described.annotations,
            staged={},
        )
        while True:
            new = replace(new, staged=_unpacked(store, new.staged, document, described, blobs, where, report))
            image = store.commit(new)
            if image is not None:
                return image


def _read(path: Path, where: str) -> bytes:
    """A manifest or configuration, which a hostile registry may have made endless."""
    try:
        with path.open("rb") as file:
            blob = file.read(manifest.MAX_BYTES + 1)
    except FileNotFoundError:
        raise ImageInvalid(f"{where} is damaged: {path.name} is missing") from None
    except OSError as error:
        raise files.failed("read", path, error) from error
    if len(blob) > manifest.MAX_BYTES:
        raise ImageInvalid(f"{where} is damaged: {path.name} is over {manifest.MAX_BYTES} bytes")
    return blob


def _check(document: ImageDocument, described: Manifest, where: str, report: Progress) -> None:
    wanted, given = len(document.rootfs.diff_ids), len(described.layers)
    if wanted != given:
        raise ImageInvalid(f"{where} is damaged: {given} layers in the manifest, {wanted} in the configuration")
    platform = f"{document.os}/{document.architecture}"
    if document.os not in ("", "linux"):
        raise Unsupported(f"{where} is for {platform}, and this host is linux/{host_architecture()}")
    if document.architecture not in ("", host_architecture()):  # may run all the same, through binfmt_misc
        report(Step(Phase.WARNING, f"{where} is for {platform}, and this host is linux/{host_architecture()}"))


def _unpacked(
    store: ImageStore,
    staged: Mapping[str, Staged],
    document: ImageDocument,
    described: Manifest,
    blobs: Path,
    where: str,
    report: Progress,
) -> Mapping[str, Staged]:
    """``staged``, and every further layer that the store does not have."""
    found = dict(staged)
    for layer_id, blob in zip(document.rootfs.diff_ids, described.layers, strict=True):
        if layer_id not in found and not store.layers.has(layer_id):
            found[layer_id] = _unpack(store, blob, layer_id, blobs, where, report)
    return found


def _unpack(store: ImageStore, blob: Descriptor, layer_id: str, blobs: Path, where: str, report: Progress) -> Staged:
    layer = f"layer {blob.hex[:12]} of {where}"
    path = blobs / blob.hex

    def watch(done_bytes: int) -> None:
        report(Step(Phase.UNPACK, blob.hex[:12], done_bytes, blob.size_bytes))

    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageInvalid(f"{layer} is missing") from None
    with file:
        staged = store.layers.unpack(file, blobs.parent, where=layer, watch=watch)
    if staged.blob_digest != blob.digest:
        raise ImageInvalid(f"{layer} is damaged: its digest is {staged.blob_digest}")
    if staged.layer.id != layer_id:
        raise ImageInvalid(f"{layer} is damaged: uncompressed, its digest is {staged.layer.id}, not {layer_id}")
    return staged
