"""What is least: the runtime's bare dump and restore in memory, and zstd alone over the images.

No engine, no archive, nothing durable: what any engine that lets the runtime drive CRIU must need at least.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import image, measure
from bench.clock import SETTLED_S, Clock

LEVELS = (1, 3)
_NULL = subprocess.DEVNULL


class Bare:
    """One container of the runtime alone. Its images lie on a tmpfs."""

    def __init__(self, runtime: str, tree: Path, size_mib: int, directory: Path) -> None:
        self._runtime = runtime
        self._name = f"floor-{os.getpid()}"
        self._bundle = directory / "floor"
        self._images = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="floor-"))
        self._clock = Clock(Path(tempfile.mkdtemp(dir="/dev/shm", prefix="clock-floor-")))
        self._bundle.mkdir()
        subprocess.run([runtime, "spec"], cwd=self._bundle, check=True)
        config = self._bundle / "config.json"
        command = image.command(size_mib, 0)
        config.write_text(json.dumps(specified(json.loads(config.read_text()), tree, self._clock.directory, command)))
        words: list[str | Path] = [runtime, "run", "--detach", "--bundle", self._bundle, self._name]
        subprocess.run(words, stdin=_NULL, stdout=_NULL, stderr=_NULL, check=True)  # it keeps them: no file, no pipe
        self._clock.wait_for_tick()

    def turn(self) -> dict[str, float]:
        """A dump that lets it run on, one that ends it, a restore; and zstd over the images."""
        values = self._dump(leave_running=True)
        values |= self._dump(leave_running=False)
        values |= {f"zstd-{level}_s": self._compress(level) for level in LEVELS}
        values["write_s"] = self._write()
        self._call("delete", "--force", self._name)
        done = self._call("restore", "--detach", "--bundle", self._bundle, "--image-path", self._images, self._name)
        self._clock.wait_for_tick(done.began_ns)
        time.sleep(SETTLED_S)
        values["import_s"] = (self._clock.longest_gap(done.began_ns).end_ns - done.began_ns) / 1e9
        return values

    def remove(self) -> None:
        self._call("delete", "--force", self._name)
        shutil.rmtree(self._images)
        shutil.rmtree(self._bundle)

    def _dump(self, *, leave_running: bool) -> dict[str, float]:
        shutil.rmtree(self._images)
        self._images.mkdir()
        flags = ("--leave-running",) if leave_running else ()
        done = self._call("checkpoint", *flags, "--image-path", self._images, self._name)
        if not leave_running:
            return {"export_s": done.wall_s, "export-frozen_s": (done.ended_ns - self._clock.last_tick_ns()) / 1e9}
        self._clock.wait_for_tick(done.ended_ns)
        time.sleep(SETTLED_S)
        return {"running-export_s": done.wall_s, "running-frozen_s": self._clock.longest_gap(done.began_ns).seconds}

    def _compress(self, level: int) -> float:
        """Of the memory, on all processors, to nowhere."""
        words = f'cat "$0"/pages-*.img | zstd -q -{level} -T0 > /dev/null'
        return measure.run(["sh", "-c", words, self._images]).wall_s

    def _write(self) -> float:
        """Half of the memory's bytes, as much as its archive has, onto the disk."""
        words = 'head -c "$2" "$0"/pages-1.img | dd of="$1" bs=1M conv=fsync iflag=fullblock'
        half = sum(path.stat().st_size for path in self._images.glob("pages-*.img")) // 2
        done = measure.run(["sh", "-c", words, self._images, self._bundle / "written", str(half)])
        (self._bundle / "written").unlink()
        return done.wall_s

    def _call(self, *words: str | Path) -> measure.Run:
        return measure.run([self._runtime, *words])


def specified(spec: dict[str, Any], tree: Path, clock: Path, command: Sequence[str]) -> dict[str, Any]:
    """The runtime's own example of a config.json, made into our workload.

    Without two namespaces, as CRIU sees it in an engine's containers: their network is the engine's, and on cgroup v1
    neither Podman nor we give them a view of their own of the cgroups (dumping one takes 50 ms for each controller).
    """
    namespaces = [each for each in spec["linux"]["namespaces"] if each["type"] not in ("network", "cgroup")]
    bind = {"destination": "/clock", "type": "bind", "source": str(clock), "options": ["rbind", "rw"]}
    return {
        **spec,
        "process": {**spec["process"], "terminal": False, "args": list(command)},
        "root": {"path": str(tree), "readonly": True},
        "mounts": [*spec["mounts"], bind],
        "linux": {**spec["linux"], "namespaces": namespaces},
    }
