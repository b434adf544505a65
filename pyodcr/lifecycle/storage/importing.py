"""``image import``: a tarball of a root filesystem becomes an image of one layer.

Configuration, history and manifest are as Podman's tarball transport writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pyodcr import jsonio
from pyodcr.errors import NotFound, UsageError
from pyodcr.lifecycle.storage import changes as instructions
from pyodcr.lifecycle.storage import manifest, refs
from pyodcr.lifecycle.storage.images import (
    History,
    Image,
    ImageConfig,
    ImageDocument,
    NewImage,
    RootFs,
    host_architecture,
)
from pyodcr.lifecycle.storage.layers import Staged
from pyodcr.lifecycle.storage.manifest import Descriptor, Manifest
from pyodcr.lifecycle.storage.progress import Phase, Progress, Step
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.storage.imagestore import ImageStore

DEFAULT_MESSAGE = "imported from tarball"


def import_rootfs(
    store: ImageStore,
    source: BinaryIO | Path,
    ref: str,
    *,
    changes: Sequence[str],
    message: str,
    architecture: str,
    report: Progress,
) -> Image:
    """See :meth:`ImageStore.import_rootfs`. Nothing is read before name and changes are known to be good."""
    names = (str(_name(ref)),) if ref else ()
    config = instructions.apply(changes)
    with _opened(source) as (stream, where, total_bytes, created), store.staged() as stage:

        def watch(done_bytes: int) -> None:
            report(Step(Phase.UNPACK, where, done_bytes, total_bytes))

        staged = store.layers.unpack(stream, stage, where=where, below=None, watch=watch)
        document = _document(config, staged, created, message=message, architecture=architecture)
        blob = jsonio.dumps(jsonio.encode(document)).encode()
        image = store.commit(
            NewImage(
                config=blob,
                document=document,
                names=names,
                digests=(manifest.digest_of(_manifest(blob, staged)),),
                manifest_type=manifest.OCI_MANIFEST,
                staged={staged.layer.id: staged},
            )
        )
    assert image is not None  # its only layer is staged
    return image


def _name(ref: str) -> refs.Reference:
    name = refs.local(ref)
    if name.digest:
        raise UsageError(f"{ref}: a name given here cannot have a digest", code="invalid-reference")
    return name


@contextmanager
def _opened(source: BinaryIO | Path) -> Iterator[tuple[BinaryIO, str, int, datetime]]:
    """The stream, what to call it, its length (0: unknown), and when what it holds was made."""
    if not isinstance(source, Path):
        yield source, "the imported stream", 0, jsonio.now()
        return
    try:
        stream = source.open("rb")
        info = source.stat()
    except FileNotFoundError:
        raise NotFound(f"{source}: there is no such file", path=str(source)) from None
    except IsADirectoryError:
        raise UsageError(
            f"{source} is a directory, not a tarball", hint="a directory can be run as it is, with --rootfs"
        ) from None
    except OSError as error:
        raise files.failed("read", source, error) from error
    with stream:
        yield stream, str(source), info.st_size, datetime.fromtimestamp(info.st_mtime, UTC)


def _document(
    config: ImageConfig, staged: Staged, created: datetime, *, message: str, architecture: str
) -> ImageDocument:
    hex_id = staged.layer.id.removeprefix("sha256:")
    step = History(
        created=created,
        created_by=f"/bin/sh -c #(nop) ADD file:{hex_id} in /",
        comment=message or DEFAULT_MESSAGE,
    )
    return ImageDocument(
        created=created,
        architecture=architecture or host_architecture(),
        os="linux",
        config=config,
        rootfs=RootFs(diff_ids=(staged.layer.id,)),
        history=(step,),
    )


def _manifest(config: bytes, staged: Staged) -> bytes:
    """The manifest this image would be pushed with, its layer not compressed."""
    layer = staged.layer
    described = Manifest(
        media_type=manifest.OCI_MANIFEST,
        config=Descriptor(media_type=manifest.OCI_CONFIG, digest=manifest.digest_of(config), size_bytes=len(config)),
        layers=(Descriptor(media_type=manifest.OCI_LAYER, digest=layer.id, size_bytes=layer.size_bytes),),
    )
    return jsonio.dumps(jsonio.encode(described)).encode()
