"""Podman beside us, with a storage of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyodcr.linux import mounts

NAMESPACES = Path("/run/netns")  # Podman makes it a mount of its own, once for the host


@dataclass(frozen=True, slots=True)
class Podman:
    root: Path
    runroot: Path
    runtime: str

    def run(self, *words: str | Path) -> str:
        """The output of a command that must succeed."""
        places: list[str | Path] = ["--root", self.root, "--runroot", self.runroot, "--runtime", self.runtime]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            ["podman", "--cgroup-manager", "cgroupfs", "--events-backend", "file", *places, *words],
            capture_output=True,
            text=True,
            env={**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"},
            check=False,
        )
        assert done.returncode == 0, f"podman {' '.join(map(str, words))}: {done.returncode}\n{done.stderr}"
        return done.stdout.strip()


@contextmanager
def podman(runtime: str) -> Iterator[Podman]:
    root = Path(tempfile.mkdtemp(dir="/var/lib/containers", prefix="podman-"))
    runroot = Path(tempfile.mkdtemp(dir="/run", prefix="podman-"))
    made, had_namespaces = Podman(root, runroot, runtime), mounts.is_mounted(NAMESPACES)
    try:
        yield made
    finally:
        made.run("rm", "--all", "--force", "--time", "0")
        mounts.unmount_below(root)
        if not had_namespaces:
            mounts.unmount_below(NAMESPACES)
        shutil.rmtree(root)
        shutil.rmtree(runroot)
