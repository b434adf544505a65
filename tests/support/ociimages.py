"""Images made by hand, byte by byte: layers as tar streams, kept in an OCI layout or a Docker archive.

image = OciImage([layer(directory("etc"), file("etc/motd", b"hi"))], config={"Cmd": ["/bin/sh"]})
image.write_layout(path, "localhost/x:1")
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import zstandard

Entry = tuple[tarfile.TarInfo, bytes]

OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar",
}
DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def _entry(
    name: str, kind: bytes, *, mode: int, uid: int = 0, gid: int = 0, mtime: int = 1_600_000_000
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, mtime
    return info


def file(
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    xattrs: Mapping[str, str] | None = None,
) -> Entry:
    info = _entry(name, tarfile.REGTYPE, mode=mode, uid=uid, gid=gid)
    info.size = len(content)
    info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
    return info, content


def directory(name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    return _entry(name, tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid), b""


def symlink(name: str, target: str) -> Entry:
    info = _entry(name, tarfile.SYMTYPE, mode=0o777)
    info.linkname = target
    return info, b""


def hardlink(name: str, target: str) -> Entry:
    info = _entry(name, tarfile.LNKTYPE, mode=0o644)
    info.linkname = target
    return info, b""


def whiteout(name: str) -> Entry:
    parent, _, last = name.rpartition("/")
    return file(f"{parent}/.wh.{last}" if parent else f".wh.{last}")


def opaque(name: str) -> Entry:
    return file(f"{name}/.wh..wh..opq")


def layer(*entries: Entry) -> bytes:
    """An uncompressed tar stream."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def plain(blob: bytes) -> bytes:
    return blob


def gzipped(blob: bytes) -> bytes:
    return gzip.compress(blob, mtime=0)


def zstd(blob: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(blob)


_SUFFIXES: dict[Callable[[bytes], bytes], str] = {plain: "", gzipped: "+gzip", zstd: "+zstd"}


@dataclass(frozen=True)
class OciImage:
    """``layers`` lowest first, ``config`` is the image configuration's ``config`` object, ``top`` its other keys."""

    layers: Sequence[bytes]
    config: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=lambda: OCI)
    compress: Callable[[bytes], bytes] = gzipped
    annotations: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config_blob(self) -> bytes:
        document = {
            "created": "2024-05-06T07:08:09.123456789Z",
            "architecture": "amd64",
            "os": "linux",
            "config": dict(self.config),
            "rootfs": {"type": "layers", "diff_ids": [digest(blob) for blob in self.layers]},
            "history": [{"created": "2024-05-06T07:08:09Z", "created_by": "by hand"}],
        }
        return json.dumps(document | dict(self.top)).encode()

    @property
    def id(self) -> str:
        return digest(self.config_blob).removeprefix("sha256:")

    @cached_property
    def layer_blobs(self) -> list[bytes]:
        return [self.compress(blob) for blob in self.layers]

    @cached_property
    def manifest(self) -> bytes:
        suffix = _SUFFIXES[self.compress] if self.types is OCI else ""
        document = {
            "schemaVersion": 2,
            "mediaType": self.types["manifest"],
            "config": _descriptor(self.types["config"], self.config_blob),
            "layers": [_descriptor(self.types["layer"] + suffix, blob) for blob in self.layer_blobs],
        }
        return json.dumps(document | ({"annotations": dict(self.annotations)} if self.annotations else {})).encode()

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(blob): blob for blob in (self.config_blob, self.manifest, *self.layer_blobs)}

    def write_layout(self, path: Path, name: str = "") -> Path:
        """An OCI layout with this one image."""
        store = path / "blobs" / "sha256"
        store.mkdir(parents=True)
        for key, blob in self.blobs.items():
            (store / key.removeprefix("sha256:")).write_bytes(blob)
        entry = _descriptor(self.types["manifest"], self.manifest)
        if name:
            entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return path


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}


def write_docker_archive(path: Path, images: Sequence[tuple[OciImage, Sequence[str]]]) -> Path:
    """What ``docker save`` writes: images with their tags."""
    with tarfile.open(path, "w") as archive:

        def add(name: str, blob: bytes) -> None:
            archive.addfile(*_stored(name, blob))

        items = []
        for image, tags in images:
            hex_id = image.id
            add(f"{hex_id}.json", image.config_blob)
            names = []
            for index, blob in enumerate(image.layers):
                names.append(f"{hex_id}-{index}/layer.tar")
                add(names[-1], blob)
            items.append({"Config": f"{hex_id}.json", "RepoTags": list(tags) or None, "Layers": names})
        add("manifest.json", json.dumps(items).encode())
    return path


def _stored(name: str, blob: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info, content = file(name, blob)
    return info, io.BytesIO(content)
