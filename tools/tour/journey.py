"""The tour: a Redis is frozen on one host, goes on another, and comes home through S3. Every claim is checked."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.support import s3server
from tests.support.hosts import second_host
from tools.tour import image, keys
from tools.tour.counter import Counter
from tools.tour.hosts import Machine
from tools.tour.resp import PORT, Redis
from tools.tour.screen import Screen, size
from tools.tour.trouble import TourFailed

BUCKET = "containers"
SHARED = Path("/shared")  # the directory both hosts see
TARBALL, ARCHIVE = SHARED / "redis.tar", SHARED / "redis.tar.zst"
START_S = 20.0


def main() -> int:
    """Returns the exit status: 0 only if everything was as it must be."""
    screen = Screen()
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            Journey(screen, stack).go()
    except BrokenPipeError:  # whoever read this has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (TourFailed, RuntimeError, OSError, AssertionError, subprocess.CalledProcessError) as error:
        screen.failed(str(error))
        return 1
    except KeyboardInterrupt:
        screen.failed("interrupted")
        return 130
    screen.end(f"Two moves, no key lost, no number skipped: {time.monotonic() - began:.0f} seconds in all.")
    return 0


class Journey:
    """What was begun is ended by ``stack``, in the reverse order."""

    def __init__(self, screen: Screen, stack: ExitStack) -> None:
        self._screen = screen
        beta = stack.enter_context(second_host())
        scratch = Path(tempfile.mkdtemp(prefix="demo-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, scratch)
        self._s3 = stack.enter_context(s3server.serve(scratch, beta.near_address))
        self._objects = self._s3.make_bucket(BUCKET)
        environment = self._s3.environment()
        self._here = Machine(platform.node(), beta.near_address, screen, environment=environment)
        self._there = Machine(beta.name, beta.address, screen, enter=beta.argv, environment=environment)
        for path in (TARBALL, ARCHIVE):
            stack.callback(path.unlink, missing_ok=True)
        for machine in (self._here, self._there):
            stack.callback(machine.clean, "redis", image.NAME)
        self._counter = Counter([self._here.address, self._there.address])
        self._stack = stack
        self._before: Mapping[bytes, bytes] = {}

    def go(self) -> None:
        here, there = self._here, self._there
        self._screen.title(
            f"A Redis with {keys.COUNT:,} keys moves to another host, and comes home through S3",
            f"{here.name} {here.address} and {there.name} {there.address} are two hosts on this machine, each with its "
            f"own root, network\nand processes. Linux {platform.release().partition('-')[0]}, {_criu()}.",
        )
        self._make_image()
        self._start_redis()
        self._freeze(here, str(ARCHIVE), f"Freeze it on {here.name}, into a file")
        self._thaw(there, str(ARCHIVE), f"Bring it back on {there.name}")
        url = f"s3://{BUCKET}/redis.tar.zst"
        self._freeze(there, url, f"Freeze it on {there.name}, into S3 ({self._s3.endpoint})")
        self._check_bucket()
        self._thaw(here, url, f"Bring it home to {here.name}, from S3")

    # --- before the journey -----------------------------------------------------------------

    def _make_image(self) -> None:
        self._screen.step("An image made of Debian's packages, on both hosts")
        began = time.monotonic()
        tarball = image.build(TARBALL)
        self._screen.fact(
            "tarball",
            f"Redis {tarball.version}: {tarball.files} files of {len(tarball.packages)} packages, "
            f"{size(tarball.size_bytes)}",
            time.monotonic() - began,
        )
        changes = [word for change in image.CHANGES for word in ("--change", change)]
        identities = set()
        for machine in (self._here, self._there):
            output, seconds = machine.pyodcr("image", "import", *changes, str(tarball.path), image.NAME)
            identities.add(output.splitlines()[-1])
            self._screen.fact("image", output.splitlines()[-1].removeprefix("sha256:")[:12], seconds)
        if len(identities) != 1:
            raise TourFailed(f"the same tarball became different images: {', '.join(sorted(identities))}")

    def _start_redis(self) -> None:
        self._screen.step(f"A Redis on {self._here.name}, and a client that counts")
        output, seconds = self._here.pyodcr(
            "run", "--detach", "--name", "redis", "--publish", f"{PORT}:{PORT}", image.NAME
        )
        runtime = self._here.quietly("inspect", "--format", "{{.OCIRuntime}}", "redis")
        self._screen.fact("container", f"{output[:12]}, run by {runtime}", seconds)
        self._wait_for_redis()
        began = time.monotonic()
        sent = keys.load(self._here.address)
        self._screen.fact("loaded", f"{keys.COUNT:,} keys over TCP, {size(sent)}", time.monotonic() - began)
        began = time.monotonic()
        self._before = keys.read(self._here.address)
        made = keys.compare(dict(keys.made()), self._before)
        if not made.same:
            raise TourFailed(f"what was loaded is not what is there: {made}")
        self._screen.fact("read back", f"sha256 {keys.digest(self._before)[:16]}…", time.monotonic() - began)
        self._counter.start()
        self._stack.callback(self._counter.stop)
        reached = self._counter.wait_beyond(500)
        self._screen.fact("counter", f"INCR over one TCP connection, at {reached:,} and going on")

    def _wait_for_redis(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with Redis(self._here.address, timeout_s=1.0) as redis:
                    redis.call("PING")
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TourFailed(
                        f"Redis does not answer on {self._here.address}: {error}\n{self._here.quietly('logs', 'redis')}"
                    ) from error
                time.sleep(0.05)

    # --- the two halves of a move -----------------------------------------------------------

    def _freeze(self, machine: Machine, destination: str, headline: str) -> None:
        self._screen.step(headline)
        statistics, seconds = machine.statistics(
            "checkpoint", "--tcp-established", "--print-stats", "--export", destination, "redis"
        )
        ours = statistics["pyodcr"]
        self._screen.fact("archive", f"{size(ours['archive_bytes'])}, holding {size(ours['content_bytes'])}", seconds)
        self._screen.fact("frozen", f"for {ours['held_us'] / 1e6:.1f} s, until the archive was whole and durable")
        _, seconds = machine.pyodcr("rm", "redis")
        if left := machine.quietly("ps", "--all", "--quiet"):
            raise TourFailed(f"{machine.name} still has the container {left}")
        self._screen.fact("removed", f"{machine.name} has no container any more", seconds)

    def _thaw(self, machine: Machine, source: str, headline: str) -> None:
        self._screen.step(headline)
        arrivals = len(self._counter.arrivals)
        statistics, seconds = machine.statistics("restore", "--tcp-established", "--print-stats", "--import", source)
        pages = statistics["criu_statistics"].get("pages_restored", 0)
        self._screen.fact("running", f"{pages:,} pages of memory restored", seconds)
        arrival = self._counter.wait_arrival(machine.address, arrivals)
        lost = "; one answer got lost on the way, its number did not" if arrival.first > arrival.last + 1 else ""
        self._screen.fact("counter", f"{arrival.last:,} there, {arrival.first:,} here{lost}", good=True)
        self._screen.fact("client", f"was without a server for {arrival.without_s:.1f} s")
        began = time.monotonic()
        after = keys.read(machine.address)
        compared = keys.compare(self._before, after)
        if not compared.same:
            raise TourFailed(
                f"of {len(self._before):,} keys {compared.missing:,} are missing and {compared.changed:,} changed, "
                f"{compared.added:,} are new"
            )
        self._screen.fact(
            "keys",
            f"{len(after):,} compared, 0 missing, 0 changed, 0 new; sha256 {keys.digest(after)[:16]}…",
            time.monotonic() - began,
            good=True,
        )
        reached = self._counter.wait_beyond(self._counter.value + 200)
        self._screen.fact("going on", f"the counter is at {reached:,}", good=True)

    def _check_bucket(self) -> None:
        found = sorted(path.name for path in self._objects.iterdir())
        unfinished = self._s3.uploads(BUCKET)
        if found != ["redis.tar.zst"] or unfinished:
            raise TourFailed(f"the bucket holds {found} and {unfinished}")
        self._screen.fact(
            "in S3", f"one object, {size((self._objects / found[0]).stat().st_size)}, no unfinished upload"
        )


def _criu() -> str:
    """CRIU 4.2.1."""
    said = subprocess.run(["criu", "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].replace("Version: ", "CRIU ")
