"""The command line of make bench."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import image, rounds, sides, table
from bench.results import Sample, summary
from bench.rounds import Scene


def main() -> None:
    options = parser().parse_args()
    samples = []
    for sample in measured(options):
        samples.append(sample)
        line = f"{sample.scene:>14}  {sample.what:<22} {sample.side:<8} {table.number(sample.what, sample.value):>10}"
        print(f"{line}   load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(table.text(summary(samples)))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench", description="pyodcr against Podman, in turn, in the test host")
    made.add_argument("--runtime", default="crun", help="crun or runc, for both")
    made.add_argument("--sizes", default="16,512,2048", help="resident memory of the containers, in MiB")
    made.add_argument("--files", type=int, default=20_000, help="files in the diff of one more container; 0: none")
    made.add_argument("--ps", type=int, default=50, help="list so many containers; 0: do not")
    made.add_argument("--turns", type=int, default=5, help="how often each is measured")
    made.add_argument("--sides", default="pyodcr,podman", help="measure only one of them")
    return made


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
                yield from rounds.checkpoints(both, scene, options.turns, place)
            if options.ps:
                yield from rounds.listings(both, (1, options.ps), 2 * options.turns)
        finally:
            for side in both:
                side.close()


if __name__ == "__main__":
    main()
