"""``image import``: a tarball of a root filesystem becomes an image of one layer.

The configuration is what ``podman import`` would make of the same file, to the byte: an image's ID is the hash of
it, and a container restored under the other engine is looked for by that ID. The time of creation is the file's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pyodcr import jsonio
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.storage import changes as instructions
from pyodcr.lifecycle.storage import images, manifest, refs
from pyodcr.lifecycle.storage.images import Image, ImageConfig, NewImage, host_architecture
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
    with _opened(source) as (stream, where, total_bytes, created_ns), store.staged() as stage:

        def watch(done_bytes: int) -> None:
            report(Step(Phase.UNPACK, where, done_bytes, total_bytes))

        staged = store.layers.unpack(stream, stage, where=where, watch=watch)
        blob = _configuration(config, staged, created_ns, message=message, architecture=architecture)
        image = store.commit(
            NewImage(
                config=blob,
                document=images.parse_document(blob, where),
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
def _opened(source: BinaryIO | Path) -> Iterator[tuple[BinaryIO, str, int, int]]:
    """The stream, what to call it, its length (0: unknown), and when it was made, in nanoseconds since 1970."""
    if not isinstance(source, Path):
        yield source, "the imported stream", 0, time.time_ns()
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
        yield stream, str(source), info.st_size, info.st_mtime_ns


def _configuration(config: ImageConfig, staged: Staged, created_ns: int, *, message: str, architecture: str) -> bytes:
    created, layer_id = _go_time(created_ns), staged.layer.id
    sets = {"ExposedPorts", "Labels", "Volumes"}
    document = {
        "created": created,
        "architecture": architecture or host_architecture(),
        "os": "linux",
        "config": {
            name: dict(sorted(value.items())) if name in sets else value
            for name, value in jsonio.encode(config).items()
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_id]},
        "history": [
            {
                "created": created,
                "created_by": f"/bin/sh -c #(nop) ADD file:{layer_id.removeprefix('sha256:')} in /",
                "comment": message or DEFAULT_MESSAGE,
            }
        ],
    }
    return _go_json(document).encode()


def _go_time(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    digits = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{digits}Z"


def _go_json(document: JsonObject) -> str:
    """As Go's encoding/json, which is afraid of being put into a page of HTML."""
    text = jsonio.dumps(document)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _manifest(config: bytes, staged: Staged) -> bytes:
    """The manifest this image would be pushed with, its layer not compressed."""
    layer = staged.layer
    described = Manifest(
        media_type=manifest.OCI_MANIFEST,
        config=Descriptor(media_type=manifest.OCI_CONFIG, digest=manifest.digest_of(config), size_bytes=len(config)),
        layers=(Descriptor(media_type=manifest.OCI_LAYER, digest=layer.id, size_bytes=layer.size_bytes),),
    )
    return jsonio.dumps(jsonio.encode(described)).encode()
