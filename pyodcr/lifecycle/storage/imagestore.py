"""The image store: what an image is called, which layers it has, and when they may go.

ROOT (``images`` of an engine's root)
├── index.json           names, digests and layers of every image: see :mod:`catalog`
├── configs/ID           the configuration, byte for byte: its sha256 is the image's ID, as Podman's
├── layers/ l/           see :mod:`layers`
├── staging/             see :mod:`staging`
└── lock                 held to change any of these; never while something is fetched or unpacked

Everything is mode 0700: a set-uid program of an image must not be run by users of this host.

A change is committed by writing ``index.json``. Layers and configurations enter before that and leave after it,
so a process killed anywhere leaves a consistent store and garbage that nothing names, for :meth:`ImageStore.sweep`.
Reading takes no lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pyodcr.errors import Conflict, ImageInvalid, NotFound, UsageError
from pyodcr.lifecycle.storage import catalog, images, progress, refs, staging
from pyodcr.lifecycle.storage.catalog import Catalog, Found, Record
from pyodcr.lifecycle.storage.images import Image, ImageDocument, NewImage
from pyodcr.lifecycle.storage.layers import LayerStore
from pyodcr.linux import files, flock, syncfs

if TYPE_CHECKING:
    from pyodcr.lifecycle.storage.pulling import PullPolicy
    from pyodcr.lifecycle.storage.skopeo import Access

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did: the names that are gone, and the image's ID if that is gone too."""

    untagged: tuple[str, ...] = ()
    deleted: str = ""


class ImageStore:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.layers = LayerStore(root)
        self._index = root / "index.json"
        self._configs = root / "configs"

    # Reading

    def lookup(self, ref: str) -> Image:
        """The image of that name, ``name@digest``, ID or unique beginning of an ID.

        Raises :class:`NotFound`, :class:`Ambiguous`, and :class:`ImageInvalid` if it is damaged.
        """
        return self.resolve(ref)[0]

    def resolve(self, ref: str) -> tuple[Image, str]:
        """As :meth:`lookup`, with the full name it was found by: empty if that was its ID."""
        found = catalog.load(self._index).find(ref)
        return self._image(found.record), found.name

    def list(self) -> tuple[Image, ...]:
        """All images, newest first; damaged ones are left out, with a warning in the log."""
        found = []
        for record in catalog.load(self._index).records:
            try:
                found.append(self._image(record))
            except (ImageInvalid, NotFound) as error:
                log.warning("image %s is left out: %s", record.id, error)
        long_ago = datetime.fromtimestamp(0, UTC)
        return tuple(sorted(found, key=lambda image: image.created or long_ago, reverse=True))

    def lower_dirs(self, image: Image) -> tuple[Path, ...]:
        """The lower directories of a mount, topmost first, by their short names.

        A layer that comes twice counts once, where it is topmost: it hides what it hid below, and the kernel
        refuses the same directory twice.
        """
        return tuple(self.layers.lower(layer) for layer in dict.fromkeys(reversed(image.layers)))

    def layer_dirs(self, image: Image) -> tuple[Path, ...]:
        """As :meth:`lower_dirs`, by the full paths."""
        return tuple(self.layers.diff(layer) for layer in dict.fromkeys(reversed(image.layers)))

    def is_whole(self, image: Image) -> bool:
        """Whether every layer is there."""
        return all(self.layers.has(layer) for layer in image.layers)

    @contextmanager
    def using(self, ref: str) -> Iterator[Image]:
        """The image, which nobody removes before the block has ended: record in it who uses the image."""
        with self._locked():
            yield self.lookup(ref)

    def _image(self, record: Record) -> Image:
        where = f"image {record.id[:12]}"
        try:
            blob = (self._configs / record.id).read_bytes()
        except FileNotFoundError:
            if catalog.load(self._index).get(record.id) is None:
                raise NotFound(f"{record.id}: image not known", reference=record.id) from None
            raise ImageInvalid(f"{where} has lost its configuration", hint="remove it, and pull it again") from None
        except OSError as error:
            raise files.failed("read", self._configs / record.id, error) from error
        return _assembled(record, images.parse_document(blob, where))

    # Changing

    def import_rootfs(
        self,
        source: BinaryIO | Path,
        ref: str = "",
        *,
        changes: Sequence[str] = (),
        message: str = "",
        architecture: str = "",
        report: progress.Progress = progress.silent,
    ) -> Image:
        """Make an image of one layer from a tarball of a root filesystem (``podman import``), compressed or not.

        ``changes`` are Dockerfile instructions (see :mod:`changes`), ``architecture`` is the host's if not given.
        """
        from pyodcr.lifecycle.storage import importing

        return importing.import_rootfs(
            self, source, ref, changes=changes, message=message, architecture=architecture, report=report
        )

    def pull(
        self,
        ref: str,
        *,
        policy: PullPolicy | None = None,
        access: Access | None = None,
        report: progress.Progress = progress.silent,
    ) -> Image:
        """Fetch an image from where ``ref`` says (see :func:`refs.source`) unless ``policy`` is content with ours.

        It is so with any that is here, unless another one is given.
        """
        from pyodcr.lifecycle.storage import pulling, skopeo

        policy = policy or pulling.PullPolicy.MISSING
        return pulling.pull(self, ref, policy=policy, access=access or skopeo.Access(), report=report)

    def tag(self, ref: str, name: str) -> Image:
        """Give an image one more name; if another image has it, that one loses it."""
        full = refs.local(name)
        if full.digest:
            raise UsageError(f"{name}: a name given here cannot have a digest", code="invalid-reference")
        return self.name(ref, full, ())

    def name(self, ref: str, name: refs.Reference, digests: tuple[str, ...]) -> Image:
        """As :meth:`tag` for a full name, and for digests the image is found to have elsewhere."""
        with self._locked():
            known = catalog.load(self._index)
            record = known.find(ref).record
            changed = known.with_image(replace(record, names=(str(name),), digests=digests))
            catalog.save(self._index, changed)
        return self.lookup(record.id)

    def remove(
        self,
        ref: str,
        *,
        force: bool = False,
        every_name: bool = False,
        in_use: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> Removed:
        """Take a name from an image, and with its last one the image and the layers that no other needs.

        ``every_name`` takes them all, however the image was found. ``in_use`` gives the containers that use an
        image, by its ID. Such an image is :class:`Conflict`; with ``force`` it loses its names, and stays,
        nameless, as long as a container needs its layers.
        """
        with self.staged() as trash, self._locked():
            known = catalog.load(self._index)
            found = known.find(ref)
            users = in_use(found.record.id)
            changed, removed = _without(known, found, users, force=force, every_name=every_name)
            catalog.save(self._index, changed)
            self._collect(changed, trash)
        return removed

    def sweep(self) -> tuple[str, ...]:
        """Remove what killed processes left: half-made images, and layers that no image came to name.

        Returns what it removed, as paths below the store.
        """
        half_made = staging.sweep(self.root / "staging")
        with self.staged() as trash, self._locked():
            layers = self._collect(catalog.load(self._index), trash)
        return (*(f"staging/{name}" for name in half_made), *(f"layers/{name}" for name in layers))

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A private directory: to make an image ready in, or to delete from once the lock is released."""
        files.make_directory(self.root)
        parent = self.root / "staging"
        staging.sweep(parent)
        with staging.directory(parent) as stage:
            yield stage

    def commit(self, new: NewImage) -> Image | None:
        """Take a new image in. None: a layer that was here when it was made ready has gone, so make it ready too."""
        syncfs.sync(self.root)
        image_id = _hex_digest(new.config)
        with self._locked():
            wanted = new.document.rootfs.diff_ids
            if any(layer not in new.staged and not self.layers.has(layer) for layer in wanted):
                return None
            for staged in new.staged.values():
                self.layers.add(staged)
            files.make_directory(self._configs)
            files.write(self._configs / image_id, new.config)
            record = Record(
                id=image_id,
                names=new.names,
                digest=new.digests[0],
                digests=new.digests,
                layers=wanted,
                size_bytes=sum(self.layers.get(layer).size_bytes for layer in wanted),
                manifest_type=new.manifest_type,
                annotations=new.annotations,
            )
            catalog.save(self._index, catalog.load(self._index).with_image(record))
        return self.lookup(image_id)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with flock.exclusive(self.root / "lock"):
            yield

    def _collect(self, known: Catalog, trash: Path) -> Sequence[str]:
        """Move what no image names out of the store; the lock is held. Returns the names of the layers."""
        collected = self.layers.collect(known.layers, trash)
        if self._configs.exists():
            for config in self._configs.iterdir():
                if known.get(config.name) is None:
                    files.remove(config)
        return collected


def _assembled(record: Record, document: ImageDocument) -> Image:
    return Image(
        id=record.id,
        names=record.names,
        digest=record.digest,
        digests=record.digests,
        names_history=record.names_history,
        size_bytes=record.size_bytes,
        layers=record.layers,
        manifest_type=record.manifest_type,
        annotations=record.annotations,
        config=document.config,
        architecture=document.architecture,
        variant=document.variant,
        os=document.os,
        created=document.created,
        history=document.history,
        author=document.author,
        comment=document.comment,
        docker_version=document.docker_version,
    )


def _without(
    known: Catalog, found: Found, users: Sequence[str], *, force: bool, every_name: bool
) -> tuple[Catalog, Removed]:
    """Podman's rules: one of several names is only untagged, by whomever the image is used."""
    record = found.record
    if len(record.names) > 1 and not every_name:
        if found.name in record.names:
            return known.without_name(record.id, found.name), Removed(untagged=(found.name,))
        if not force:
            names = ", ".join(record.names)
            raise Conflict(
                f"image {record.id[:12]} has several names: {names}",
                code="image-names",
                hint="remove it by one of them, or with --force by its ID",
            )
    if users and not force:
        raise Conflict(
            f"image {record.id[:12]} is in use by container {users[0]}",
            code="image-in-use",
            hint="remove the container first",
            containers=list(users),
        )
    if users:
        nameless = known
        for name in record.names:
            nameless = nameless.without_name(record.id, name)
        return nameless, Removed(untagged=record.names)
    return known.without(record.id), Removed(untagged=record.names, deleted=record.id)


def _hex_digest(blob: bytes) -> str:
    import hashlib

    return hashlib.sha256(blob).hexdigest()
