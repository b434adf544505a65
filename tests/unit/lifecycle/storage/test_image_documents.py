"""Manifests and configurations, honest and hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyodcr import jsonio
from pyodcr.errors import ImageInvalid
from pyodcr.lifecycle.storage import images, manifest
from pyodcr.lifecycle.storage.images import Healthcheck, ImageConfig

DIGEST = "sha256:" + "d" * 64


def described(**changes: Any) -> bytes:
    config = {"mediaType": manifest.OCI_CONFIG, "digest": DIGEST, "size": 2}
    document = {"schemaVersion": 2, "config": config, "layers": [{"mediaType": "x", "digest": DIGEST, "size": 3}]}
    return json.dumps(document | changes).encode()


def test_a_manifest() -> None:
    found = manifest.parse(described(annotations={"a": "b"}), "x")
    assert found.config.hex == "d" * 64
    assert found.layers[0].size_bytes == 3
    assert found.annotations == {"a": "b"}


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "schema 1"),
        (b'{"schemaVersion": 2, "manifests": []}', "lacks config"),
        (described(config={"mediaType": "application/x.helm", "digest": DIGEST, "size": 1}), "not a container image"),
        (described(config={"mediaType": manifest.OCI_CONFIG, "digest": "../../x", "size": 1}), "not a digest"),
        (described(layers=[{"digest": "sha256:../x", "size": 1}]), "not a digest"),
        (described(layers=[{"digest": DIGEST, "size": "1"}]), "not a int"),
    ],
)
def test_manifests_that_are_none(blob: bytes, says: str) -> None:
    with pytest.raises(ImageInvalid, match=says):
        manifest.parse(blob, "x")


def test_a_configuration_of_docker() -> None:
    blob = json.dumps(
        {
            "created": "2024-05-06T07:08:09.123456789Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Cmd": None,
                "Env": ["A=b"],
                "Healthcheck": {"Test": ["CMD-SHELL", "x"], "StartPeriod": 5},
                "ArgsEscaped": True,
            },
            "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
            "container": "abc",
        }
    ).encode()
    found = images.parse_document(blob, "x")
    assert found.config == ImageConfig(
        env=("A=b",),
        healthcheck=Healthcheck(test=("CMD-SHELL", "x"), start_period_ns=5),
        extra={"ArgsEscaped": True},
    )
    assert found.extra == {"container": "abc"}
    assert jsonio.encode(found)["config"]["ArgsEscaped"] is True


@pytest.mark.parametrize(
    "document",
    [
        {"rootfs": {"diff_ids": ["sha256:../../etc"]}},
        {"rootfs": {"diff_ids": [7]}},
        {"config": {"Env": "A=b"}},
        {"created": "yesterday"},
        {"config": []},
    ],
)
def test_configurations_that_are_none(document: dict[str, Any]) -> None:
    with pytest.raises(ImageInvalid, match="image x is damaged"):
        images.parse_document(json.dumps(document).encode(), "image x")
