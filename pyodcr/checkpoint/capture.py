"""What goes into an archive besides CRIU's images, and in which order.

Names, formats and rules are libpod's (``container_internal_common.go``, exportCheckpoint), so Podman
restores it; ``config.dump`` and ``spec.dump`` come first, so a reader knows the container before its data comes.
The container is stopped while this reads, unless the parts were put aside before (:func:`set_aside`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.checkpoint.hook import ANNOTATION
from pyodcr.checkpoint.options import DumpOptions
from pyodcr.lifecycle import prepare
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.storage import diff, pack
from pyodcr.linux import files, mounts

if TYPE_CHECKING:
    from pyodcr.checkpoint.archive.writer import ArchiveWriter
    from pyodcr.lifecycle.context import Context

CONFIG, SPEC, NETWORK, DELETED = "config.dump", "spec.dump", "network.status", "deleted.files"
ROOTFS, SHM, LOG, STATS = "rootfs-diff.tar", "devshm-checkpoint.tar", "ctr.log", "stats-dump"
IMAGES, VOLUMES, ARTIFACTS = "checkpoint", "volumes", "artifacts"


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory tree that becomes one tar in the archive: planned, or already put aside as a file."""

    name: str
    plan: pack.Plan | None
    file: Path | None = None

    @property
    def size_bytes(self) -> int:
        return self.plan.size if self.plan is not None else self.file.stat().st_size if self.file else 0


@dataclass(frozen=True, slots=True)
class Capture:
    """All of a container but its memory."""

    documents: tuple[tuple[str, bytes], ...]
    trees: tuple[Tree, ...]
    log: Path | None

    @property
    def size_bytes(self) -> int:
        return sum(len(data) for _, data in self.documents) + sum(tree.size_bytes for tree in self.trees)


def capture(ctx: Context, container: Container, options: DumpOptions) -> Capture:
    """Look at everything, read nothing but names and sizes: the data is read when it is written."""
    documents = [
        (CONFIG, _json(exported_config(container))),
        (SPEC, _json(exported_spec(ctx, container))),
        (NETWORK, _json(container.state.network_status)),
    ]
    trees: list[Tree] = []
    if not options.ignore_rootfs:
        deleted, tree = _rootfs(ctx, container)
        if deleted:
            documents.append((DELETED, _json(list(deleted))))
        if tree is not None:
            trees.append(tree)
    shm = ctx.place(container).shm
    if not container.config.no_shm and mounts.is_mounted(shm):
        trees.append(Tree(SHM, pack.scan(shm)))
    if not options.ignore_volumes:
        for volume in container.config.named_volumes:
            mountpoint = ctx.volumes.find(volume.name).mountpoint
            trees.append(Tree(f"{VOLUMES}/{volume.name}.tar", pack.scan(mountpoint)))
    log = Path(container.config.log_path or ctx.place(container).log)
    return Capture(tuple(documents), tuple(trees), log if log.exists() else None)


def set_aside(found: Capture, directory: Path) -> Capture:
    """Copy the trees into ``directory``, so the container may run on while they are compressed and sent."""
    files.make_directory(directory)
    kept = []
    for index, tree in enumerate(found.trees):
        assert tree.plan is not None
        path = directory / f"{index}.tar"
        with path.open("wb") as sink:
            tree.plan.write(sink)
        kept.append(Tree(tree.name, None, path))
    return replace(found, trees=tuple(kept))


def write(found: Capture, images: Path, archive: ArchiveWriter, *, stats: Path | None) -> None:
    """All entries but the manifest."""
    for name, data in found.documents:
        archive.add_bytes(name, data)
    archive.add_directory(IMAGES)
    for image in sorted(images.iterdir()):
        if image.is_file() and not image.is_symlink():
            archive.add_file(f"{IMAGES}/{image.name}", image)
    if stats is not None:
        archive.add_file(STATS, stats)
    if any(tree.name.startswith(f"{VOLUMES}/") for tree in found.trees):
        archive.add_directory(VOLUMES)
    for tree in found.trees:
        if tree.plan is not None:
            archive.add_stream(tree.name, tree.plan.size, tree.plan.write)
        elif tree.file is not None:
            archive.add_file(tree.name, tree.file)
    if found.log is not None:
        archive.add_file(LOG, found.log)
    archive.add_directory(ARTIFACTS)


def exported_config(container: Container) -> Mapping[str, Any]:
    """``config.dump``: the configuration without what is this host's business alone."""
    config = replace(container.config, spec=without_annotation(container.config.spec))
    return dict(jsonio.encode(config))


def exported_spec(ctx: Context, container: Container) -> Mapping[str, Any]:
    """``spec.dump``: the config.json the container runs with."""
    text = files.read(ctx.place(container).spec)
    return without_annotation(jsonio.loads(text or "{}", str(ctx.place(container).spec)))


def without_annotation(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """``org.criu.config`` names a file whose action script runs as root: it never travels."""
    annotations = {name: value for name, value in (spec.get("annotations") or {}).items() if name != ANNOTATION}
    return {**spec, "annotations": annotations}


def _rootfs(ctx: Context, container: Container) -> tuple[tuple[str, ...], Tree | None]:
    config, place = container.config, ctx.place(container)
    if config.rootfs and not config.rootfs_overlay:
        return (), None  # a directory of the host, used as it is: it does not travel
    names = diff.archive_names(diff.changes(place.upper, prepare.lower_directories(ctx, container)))
    if not names.names:
        return names.deleted, None
    return names.deleted, Tree(ROOTFS, pack.scan(place.merged, names.names))


def _json(value: object) -> bytes:
    return jsonio.dumps(value, indent=2).encode()


def sync_images(directory: Path) -> None:
    """Make a directory of images durable: each file, then the names."""
    for path in _files_below(directory):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    files.fsync_directory(directory)


def _files_below(directory: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        for entry in stack.enter_context(os.scandir(directory)):
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def keep_beside(found: Capture, bundle: Path) -> None:
    """What a local restore needs besides the images: /dev/shm's content and the addresses of the dump."""
    for name, data in found.documents:
        if name == NETWORK:
            files.write(bundle / NETWORK, data)
    for tree in found.trees:
        if tree.name == SHM:
            with files.replacing(bundle / SHM) as sink:
                if tree.plan is not None:
                    tree.plan.write(sink)
                elif tree.file is not None:
                    with tree.file.open("rb") as source:
                        shutil.copyfileobj(source, sink, 1 << 20)
