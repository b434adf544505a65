"""The layers of all images, unpacked: what one has in common with another is there once.

ROOT
├── layers/HEX/            HEX: sha256 of the uncompressed tar stream (the diff ID)
│   ├── diff/              the files, whiteouts in overlayfs' own form
│   └── layer.json         {"id", "size", "link"}
└── l/LINK -> ../layers/HEX/diff      short names: the lower directories of a mount must fit into one page

A layer is unpacked in a staging directory, its hashes checked, made durable, and only then renamed to its place:
what stands under ``layers`` is whole. Changing ``layers`` and ``l`` needs the image store's lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pyodcr import jsonio
from pyodcr.errors import ImageInvalid
from pyodcr.jsonio import key
from pyodcr.lifecycle.storage import unpack
from pyodcr.lifecycle.storage.compression import Hashed, decompressed
from pyodcr.linux import files

LINK_BYTES = 6
# The root of every layer, whatever its tar says of ".": containers/storage does so (pkg/archive, Unpack; overlay,
# defaultPerms), and CRIU restores nothing on a root whose mode is not the dumped one.
ROOT_MODE = 0o555


@dataclass(frozen=True, slots=True)
class Layer:
    """``size_bytes`` is the length of the uncompressed tar stream, as Podman counts."""

    id: str
    size_bytes: int = key("size")
    link: str = key("link")


@dataclass(frozen=True, slots=True)
class Staged:
    """A layer that is unpacked in ``directory``, not yet in the store; ``blob_digest`` is of its compressed form."""

    layer: Layer
    directory: Path
    blob_digest: str


class LayerStore:
    def __init__(self, root: Path) -> None:
        self._layers = root / "layers"
        self._links = root / "l"

    def unpack(self, source: BinaryIO, stage: Path, *, where: str, watch: Callable[[int], None]) -> Staged:
        """Unpack a tar stream, compressed or not, in a new directory of ``stage``.

        ``watch`` is told the compressed bytes read so far. Raises :class:`ImageInvalid`.
        """
        directory = stage / secrets.token_hex(LINK_BYTES)
        diff = directory / "diff"
        try:
            directory.mkdir(mode=0o700)
            diff.mkdir()
            diff.chmod(ROOT_MODE)
        except OSError as error:
            raise files.failed("create", diff, error) from error
        blob = Hashed(source, where, watch)
        stream = Hashed(decompressed(blob), where)
        unpack.tar(stream, diff, layer=True, name=where, invalid=ImageInvalid)
        stream.drain()
        blob.drain()
        layer = Layer(stream.digest, stream.size_bytes, secrets.token_hex(LINK_BYTES))
        try:  # made durable with all the rest, when the image is committed
            (directory / "layer.json").write_text(jsonio.dumps(jsonio.encode(layer)))
        except OSError as error:
            raise files.failed("write", directory / "layer.json", error) from error
        return Staged(layer, directory, blob.digest)

    def has(self, layer_id: str) -> bool:
        return (self._place(layer_id) / "layer.json").exists()

    def get(self, layer_id: str) -> Layer:
        """Raises :class:`ImageInvalid` where there is no such layer, or its metadata is damaged."""
        text = files.read(self._place(layer_id) / "layer.json")
        if text is None:
            raise ImageInvalid(f"layer {layer_id} is missing", hint="pull or import the image again")
        try:
            return jsonio.decode(Layer, jsonio.loads(text))
        except jsonio.JsonInvalid as error:
            raise ImageInvalid(f"layer {layer_id} is damaged: {error}") from error

    def diff(self, layer_id: str) -> Path:
        return self._place(layer_id) / "diff"

    def lower(self, layer_id: str) -> Path:
        """The layer's directory by its short name."""
        return self._links / self.get(layer_id).link

    def add(self, staged: Staged) -> None:
        """Take a staged layer in; if another process was faster, it is simply left where it is."""
        place = self._place(staged.layer.id)
        if self.has(staged.layer.id):
            return
        files.make_directory(self._layers)
        files.make_directory(self._links)
        try:
            # The link first: one that dangles is swept, a layer without one would be no use.
            (self._links / staged.layer.link).symlink_to(Path("..", "layers", place.name, "diff"))
            staged.directory.rename(place)
            files.fsync_directory(self._layers)
        except OSError as error:
            raise files.failed("create", place, error) from error

    def collect(self, needed: frozenset[str], trash: Path) -> list[str]:
        """Move every layer that is not ``needed`` into ``trash``, a staging directory, for its owner to delete.

        Returns their names.
        """
        collected = []
        try:
            for place in self._entries(self._layers):
                if f"sha256:{place.name}" not in needed:
                    place.rename(trash / place.name)
                    collected.append(place.name)
            for link in self._entries(self._links):
                if not link.exists():
                    link.unlink()
        except OSError as error:
            raise files.failed("clear", self._layers, error) from error
        return collected

    def _place(self, layer_id: str) -> Path:
        return self._layers / layer_id.removeprefix("sha256:")

    @staticmethod
    def _entries(directory: Path) -> Iterator[Path]:
        return iter(list(directory.iterdir()) if directory.exists() else [])
