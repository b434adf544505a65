"""--device, and the devices of a privileged container, on the nodes that every Linux has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.errors import UsageError
from pyodcr.lifecycle.spec import devices

from .conftest import Make


def test_a_device_under_another_name() -> None:
    found = devices.parse("/dev/null:/dev/nothing:rw")
    assert {name: found.node[name] for name in ("path", "type", "major", "minor", "fileMode")} == {
        "path": "/dev/nothing",
        "type": "c",
        "major": 1,
        "minor": 3,
        "fileMode": 0o666,
    }
    assert found.rule == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}


@pytest.mark.parametrize(
    ("text", "path", "access"),
    [("/dev/zero", "/dev/zero", "rwm"), ("/dev/zero:r", "/dev/zero", "r"), ("/dev/zero:/z", "/z", "rwm")],
)
def test_short_forms(text: str, path: str, access: str) -> None:
    found = devices.parse(text)
    assert (found.node["path"], found.rule["access"]) == (path, access)


def test_a_link_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    assert devices.parse(f"{tmp_path}/link:/dev/x").node["minor"] == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid device specification: "),
        ("/dev/null:/x:rw:m", "invalid device specification: /dev/null:/x:rw:m"),
        ("/dev/null:rx", "invalid device mode: rx"),
        ("/dev/null:/x:rr", "invalid device mode: rr"),
        ("/dev/null:x:rw", "invalid device specification: /dev/null:x:rw"),
        ("/dev/no-such", "stat /dev/no-such: no such file or directory"),
        ("/dev", "/dev is a directory, not a device"),
        ("/etc/passwd", "/etc/passwd is not a valid device: not a device node"),
    ],
)
def test_devices_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        devices.parse(text)
    assert caught.value.message == message


def test_only_given_devices_may_be_used(make: Make) -> None:
    linux = make(devices=("/dev/null:/dev/mine:r",)).spec["linux"]
    assert [node["path"] for node in linux["devices"]] == ["/dev/mine"]
    assert linux["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
    ]


def test_devices_of_the_host() -> None:
    paths = {node["path"] for node in devices.of_host()}
    assert {"/dev/null", "/dev/zero"} <= paths
    assert not {path for path in paths if path.startswith(("/dev/pts/", "/dev/shm/", "/dev/fd"))}
    assert "/dev/console" not in paths
