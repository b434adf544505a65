"""A registry over HTTP: the reading half of the OCI distribution API, for images in memory.

with registry() as host:            # "127.0.0.1:40123"
    host.images["x"]["1"] = OciImage(...)
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.ociimages import OciImage, digest

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """``tags`` maps (repository, tag) to a manifest's digest; ``requests`` are the paths that were asked for."""

    address: str = ""
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    credentials: str = ""

    def push(self, repository: str, tag: str, image: OciImage) -> str:
        """Serve an image under a tag; returns its manifest's digest."""
        self.blobs.update(image.blobs)
        key = digest(image.manifest)
        self.manifests[key] = (image.types["manifest"], image.manifest)
        self.tags[repository, tag] = key
        return key

    def push_list(self, repository: str, tag: str, images: dict[str, OciImage]) -> str:
        """Serve one image for each architecture under a tag; returns the digest of the list."""
        entries = []
        for architecture, image in images.items():
            key = self.push(repository, f"{tag}-{architecture}", image)
            media_type, blob = self.manifests[key]
            entry: dict[str, Any] = {"mediaType": media_type, "digest": key, "size": len(blob)}
            entries.append(entry | {"platform": {"os": "linux", "architecture": architecture}})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        key = digest(index)
        self.manifests[key] = (INDEX, index)
        self.tags[repository, tag] = key
        return key

    def name(self, repository: str, tag: str) -> str:
        return f"{self.address}/{repository}:{tag}"


@contextlib.contextmanager
def registry() -> Iterator[Registry]:
    found = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            found.requests.append(self.path)
            if found.credentials and self.headers.get("Authorization") != _basic(found.credentials):
                self._answer(401, "application/json", _error("UNAUTHORIZED", "authentication required"))
                return
            if self.path == "/v2/":
                self._answer(200, "application/json", b"{}")
                return
            repository, kind, ref = self.path.removeprefix("/v2/").rsplit("/", 2)
            if kind == "manifests":
                known = found.manifests.get(found.tags.get((repository, ref), ref))
                if known is None:
                    self._answer(404, "application/json", _error("MANIFEST_UNKNOWN", "manifest unknown"))
                else:
                    self._answer(200, *known)
            elif ref in found.blobs:
                self._answer(200, "application/octet-stream", found.blobs[ref])
            else:
                self._answer(404, "application/json", _error("BLOB_UNKNOWN", "blob unknown to registry"))

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
