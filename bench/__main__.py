"""The command line of make bench."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import document, image, plot, results, rounds, sides, table
from bench.floor import Bare
from bench.results import Results, Sample
from bench.rounds import Scene

TOP = Path(__file__).resolve().parents[1]
KEPT = TOP / "bench/measured"
PAGE, PLOT = TOP / "docs/performance.md", TOP / "docs/performance.svg"


def main() -> None:
    options = parser().parse_args()
    kept = KEPT / f"{options.runtime}.json"
    if not options.draw:
        measure(options, kept)
    if options.draw or options.publish:
        publish(results.read(kept))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench", description="pyodcr against Podman, in turn, in the test host")
    made.add_argument("--runtime", default="crun", help="crun or runc, for both")
    made.add_argument("--sizes", default="16,512,2048", help="resident memory of the containers, in MiB")
    made.add_argument("--files", type=int, default=20_000, help="files in the diff of one more container; 0: none")
    made.add_argument("--ps", type=int, default=50, help="list so many containers; 0: do not")
    made.add_argument("--turns", type=int, default=5, help="how often each is measured")
    made.add_argument("--sides", default="pyodcr,podman,floor", help="measure only some of them")
    made.add_argument("--publish", action="store_true", help="write the numbers and the plot into docs/, too")
    made.add_argument("--draw", action="store_true", help="only that, from what was kept")
    return made


def measure(options: argparse.Namespace, kept: Path) -> None:
    """Measure, telling each number on standard error; keep them, and print what they amount to."""
    samples = []
    for sample in measured(options):
        samples.append(sample)
        told = f"{sample.scene:>14}  {sample.what:<40} {sample.side:<8} {table.number(sample.what, sample.value):>10}"
        print(f"{told}   load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    results.write(Results(facts(options), samples), kept)
    print(table.text(results.summary(samples)))


def scenes(options: argparse.Namespace) -> Iterator[Scene]:
    for size_mib in map(int, filter(None, options.sizes.split(","))):
        yield Scene(f"{size_mib >> 10} GiB" if size_mib >= 1024 else f"{size_mib} MiB", size_mib)
    if options.files:
        yield Scene(f"{options.files:,} files", 16, options.files)


def measured(options: argparse.Namespace) -> Iterator[Sample]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        both = [make(place, options.runtime) for make in (sides.pyodcr, sides.podman)]
        both = [side for side in both if side.name in options.sides.split(",")]
        tarball = image.build(place)
        try:
            for side in both:
                side.import_image(tarball)
            for scene in scenes(options):
                yield from rounds.checkpoints(both, scene, options.turns, place, floor(options, scene, place))
            if options.ps:
                yield from rounds.listings(both, (1, options.ps), 2 * options.turns)
        finally:
            for side in both:
                side.close()


def floor(options: argparse.Namespace, scene: Scene, place: Path) -> Bare | None:
    """The runtime alone, where it is asked for; it has no part in what becomes of files."""
    if scene.files or results.FLOOR not in options.sides.split(","):
        return None
    return Bare(options.runtime, place / image.TREE, scene.size_mib, place)


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {options.turns} turns",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "processors": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "versions": "; ".join(map(_version, ("podman", "criu", options.runtime))),
        "compression": "zstd level 3 on both sides, on as many threads as there are processors",
    }


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    number = next(word for word in said.split() if word[0].isdigit())
    return f"{program} {number}"


def publish(found: Results) -> None:
    rows = results.summary(found.samples)
    PLOT.write_text(plot.draw(rows, f"{found.facts['versions']}; medians, {found.facts['measured']}"), encoding="utf-8")
    PAGE.write_text(document.put(PAGE.read_text(encoding="utf-8"), document.numbers(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
