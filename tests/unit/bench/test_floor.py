"""The runtime's example of a config.json, made into the workload."""

from __future__ import annotations

from pathlib import Path

from bench.floor import specified

EXAMPLE = {
    "ociVersion": "1.0.0",
    "process": {"terminal": True, "args": ["sh"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc"}],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "cgroup"}], "maskedPaths": ["/proc/kcore"]},
}


def test_an_example_becomes_the_workload() -> None:
    found = specified(EXAMPLE, Path("/tree"), Path("/dev/shm/clock"), ["/bin/program"])
    assert found["process"] == {"terminal": False, "args": ["/bin/program"], "cwd": "/"}
    assert found["root"] == {"path": "/tree", "readonly": True}
    assert [mount["destination"] for mount in found["mounts"]] == ["/proc", "/clock"]
    assert found["linux"] == {"namespaces": [{"type": "pid"}], "maskedPaths": ["/proc/kcore"]}


def test_the_example_itself_is_left_alone() -> None:
    specified(EXAMPLE, Path("/tree"), Path("/clock"), [])
    assert EXAMPLE["mounts"] == [{"destination": "/proc"}]
