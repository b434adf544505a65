"""The two engines that are compared: the same verbs, as command lines."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IMAGE = "localhost/bench:latest"


@dataclass(frozen=True, slots=True)
class Side:
    """``engine`` is the command line up to the verb; ``trust`` what an import of our own archive needs beside it."""

    name: str
    engine: tuple[str, ...]
    trust: tuple[str, ...] = ()

    def argv(self, *words: str | Path) -> list[str]:
        return [*self.engine, *map(str, words)]

    def call(self, *words: str | Path) -> str:
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name} {' '.join(map(str, words))}: {done.returncode}\n{done.stderr}")
        return done.stdout.strip()

    def import_image(self, tarball: Path) -> None:
        self.call(*(("image", "import") if self.name == "pyodcr" else ("import", "--quiet")), tarball, IMAGE)

    def run(self, name: str, clock: Path, command: Sequence[str]) -> None:
        self.call("run", "-d", "--name", name, "--network", "none", "-v", f"{clock}:/clock", IMAGE, *command)

    def checkpoint(self, name: str, archive: Path, *, leave_running: bool) -> list[str]:
        running = ("--leave-running",) if leave_running else ()
        return self.argv("container", "checkpoint", *running, "--compress", "zstd", "--export", archive, name)

    def restore(self, archive: Path) -> list[str]:
        return self.argv("container", "restore", *self.trust, "--import", archive)

    def remove(self, name: str) -> None:
        self.call("rm", "--force", "--time", "0", name)

    def close(self) -> None:
        self.call("rm", "--all", "--force", "--time", "0")


def pyodcr(place: Path, runtime: str) -> Side:
    base = ("pyodcr", "--root", str(place / "pyodcr"), "--runroot", "/run/bench-pyodcr")
    return Side("pyodcr", (*base, "--runtime", runtime), trust=("--trust",))


def podman(place: Path, runtime: str) -> Side:
    base = ("podman", "--root", str(place / "podman"), "--runroot", "/run/bench-podman", "--runtime", runtime)
    return Side("podman", (*base, "--cgroup-manager", "cgroupfs", "--events-backend", "file"))
