from __future__ import annotations

import os
from typing import Any

import pytest

from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network.mode import Kind, Mode, hostname_of, mode_of

NETNS = {"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]}}
AT_PATH = {"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}}


def container(**fields: Any) -> ContainerConfig:
    return ContainerConfig(id="ab" * 32, name="c", **fields)


@pytest.mark.parametrize(
    ("fields", "mode", "text", "is_own"),
    [
        ({"own_netns": True, "spec": NETNS}, Mode(Kind.BRIDGE), "bridge", True),
        ({"spec": NETNS}, Mode(Kind.NONE), "none", True),
        ({"spec": {}}, Mode(Kind.HOST), "host", False),
        ({"net_container": "cd", "spec": NETNS}, Mode(Kind.CONTAINER, "cd"), "container:cd", False),
        ({"spec": AT_PATH}, Mode(Kind.PATH, "/run/netns/x"), "ns:/run/netns/x", False),
    ],
)
def test_kinds(fields: dict[str, Any], mode: Mode, text: str, is_own: bool) -> None:
    assert mode_of(container(**fields)) == mode
    assert str(mode) == text
    assert mode.is_own is is_own


def test_hostnames() -> None:
    own = {"linux": {"namespaces": [{"type": "uts"}]}}
    assert hostname_of(container(spec={**own, "hostname": "web"})) == "web"
    assert hostname_of(container(spec=own)) == ("ab" * 32)[:12]
    assert hostname_of(container(spec={})) == os.uname().nodename
