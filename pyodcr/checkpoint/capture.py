"""What goes into an archive besides CRIU's images, and in which order.

Names, formats and rules are libpod's (``container_internal_common.go``, exportCheckpoint), so Podman
restores it; ``config.dump`` and ``spec.dump`` come first, so a reader knows the container before its data comes.
The container is stopped while this reads, unless the parts were put aside before (:func:`set_aside`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pyodcr import jsonio
from pyodcr.checkpoint.options import DumpOptions
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.spec import annotation
from pyodcr.lifecycle.storage import diff, pack
from pyodcr.linux import files, mounts

if TYPE_CHECKING:
    from pyodcr.checkpoint.archive.writer import ArchiveWriter
    from pyodcr.lifecycle.context import Context

CONFIG, SPEC, NETWORK, DELETED = "config.dump", "spec.dump", "network.status", "deleted.files"
ROOTFS, SHM, LOG, STATS = "rootfs-diff.tar", "devshm-checkpoint.tar", "ctr.log", "stats-dump"
IMAGES, VOLUMES, ARTIFACTS = "checkpoint", "volumes", "artifacts"
COPY_BYTES = 1 << 20


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
class Sources:
    """Where a container's files are. Without ``lowers`` its root filesystem stays behind."""

    upper: Path
    lowers: tuple[Path, ...]
    merged: Path
    trees: tuple[tuple[str, Path], ...]  # name in the archive, directory
    log: Path


@dataclass(frozen=True, slots=True)
class Capture:
    """The files of a container, at one instant."""

    deleted: tuple[str, ...]  # what is gone from its image
    trees: tuple[Tree, ...]
    log: Path | None

    @property
    def size_bytes(self) -> int:
        return (self.log.stat().st_size if self.log else 0) + sum(tree.size_bytes for tree in self.trees)


def locate(ctx: Context, container: Container, options: DumpOptions) -> Sources:
    """Find everything, before the container is frozen."""
    config, place = container.config, ctx.place(container)
    trees: list[tuple[str, Path]] = []
    if not config.no_shm and mounts.is_mounted(place.shm):
        trees.append((SHM, place.shm))
    if not options.ignore_volumes:
        for name in dict.fromkeys(volume.name for volume in config.named_volumes):  # one may be mounted twice
            trees.append((f"{VOLUMES}/{name}.tar", ctx.volumes.find(name).mountpoint))
    log = Path(config.log_path or place.log)
    # a directory of the host for a root filesystem is used as it is: it does not travel
    travels = not options.ignore_rootfs and (not config.rootfs or config.rootfs_overlay)
    lowers = ctx.lower_directories(container) if travels else ()
    return Sources(place.upper, lowers, place.merged, tuple(trees), log)


def capture(sources: Sources) -> Capture:
    """Look at everything, read nothing but names and sizes: the data is read when it is written."""
    deleted: tuple[str, ...] = ()
    trees: list[Tree] = []
    if sources.lowers:
        changed = diff.archive_names(sources.upper, sources.lowers)
        deleted = changed.deleted
        if changed.names:
            trees.append(Tree(ROOTFS, pack.scan(sources.merged, changed.names)))
    trees += [Tree(name, pack.scan(directory)) for name, directory in sources.trees]
    return Capture(deleted, tuple(trees), sources.log if sources.log.exists() else None)


def set_aside(found: Capture, directory: Path) -> Capture:
    """Copy trees and log into ``directory``: the container may run on while they are compressed and sent."""
    files.make_directory(directory)
    kept = []
    for index, tree in enumerate(found.trees):
        path = directory / f"{index}.tar"
        _write_tree(tree, path)
        kept.append(Tree(tree.name, None, path))
    if found.log is None:
        return replace(found, trees=tuple(kept))
    _copy(found.log, directory / LOG)
    return replace(found, trees=tuple(kept), log=directory / LOG)


def begin(ctx: Context, container: Container, archive: ArchiveWriter) -> None:
    """The entries before the images: what is known of a container before it is frozen."""
    archive.add_bytes(CONFIG, _json(exported_config(container)))
    archive.add_bytes(SPEC, _json(exported_spec(ctx, container)))
    archive.add_bytes(NETWORK, _network(container))
    archive.add_directory(IMAGES)


def write(found: Capture, images: Path, archive: ArchiveWriter, *, followed: Collection[str], stats: bytes) -> None:
    """All other entries but the manifest; the images ``followed`` are in the archive already."""
    for image in sorted(images.iterdir()):
        if image.is_file() and not image.is_symlink() and image.name not in followed:
            archive.add_file(f"{IMAGES}/{image.name}", image)
    archive.add_bytes(STATS, stats)
    if found.deleted or any(tree.name == ROOTFS for tree in found.trees):
        # an empty list, too: whoever unpacks the tree in passing need not wait for one that may follow
        archive.add_bytes(DELETED, _json(list(found.deleted)))
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
    annotations = dict(spec.get("annotations") or {})
    annotations.pop(annotation.CRIU_CONFIG, None)
    return {**spec, "annotations": annotations}


def _network(container: Container) -> bytes:
    return _json(container.state.network_status)


def _json(value: object) -> bytes:
    return jsonio.dumps(value, indent=2).encode()


def keep_beside(container: Container, found: Capture, images: Path) -> None:
    """Put what a local restore needs besides CRIU's images among them, and make it all durable.

    That is /dev/shm's content and the addresses of the dump: so they never part from the memory they belong to.
    """
    files.write(images / NETWORK, _network(container))
    for tree in found.trees:
        if tree.name == SHM:
            _write_tree(tree, images / SHM)
    try:
        _sync(images)
    except OSError as error:
        raise files.failed("write", images, error) from error


def _write_tree(tree: Tree, path: Path) -> None:
    if tree.file is not None:
        _copy(tree.file, path)
    elif tree.plan is not None:
        with _writing(path) as sink:
            tree.plan.write(sink)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as stream, _writing(target) as sink:
        shutil.copyfileobj(stream, sink, COPY_BYTES)


@contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as sink:
            yield sink
    except OSError as error:
        raise files.failed("write", path, error) from error


def _sync(images: Path) -> None:
    """Each file, then the names, up to the directory in which all operations have theirs."""
    with os.scandir(images) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
    for directory in (images, images.parent, images.parent.parent):
        files.fsync_directory(directory)
