"""Where everything lives, outside the checkout.

$PYODCR_TESTHOST_CACHE (default /var/cache/pyodcr/testhost)
├── lock                 one build at a time
├── build.log            output of the last build's tools
├── debs/  archives/     downloaded packages: debootstrap's and apt's; a build that is run again resumes from here
├── lists/               apt's indexes, for the same reason
├── tree-KEY/            a whole tree: the directory gets this name only when it is whole
├── venv-KEY/            a Python environment, whole when it holds `.whole`
├── *.use                held shared by sessions, so that what is in use is not removed
└── sessions/ID/         scratch of one session, locked while it lives
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import HostError

DEFAULT_CACHE = Path("/var/cache/pyodcr/testhost")
_KEPT_S = 24 * 3600
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Cache:
    """The directories of the cache; nothing exists until it is asked for."""

    root: Path

    @classmethod
    def of_machine(cls) -> Cache:
        """The cache named by the environment, made if it is not there. Raises HostError, OSError."""
        root = Path(os.environ.get("PYODCR_TESTHOST_CACHE") or DEFAULT_CACHE).absolute()
        if set(str(root)) & set(":,\\"):
            raise HostError(f"{root} cannot hold an overlay's layers: its name has a colon, a comma or a backslash")
        root.mkdir(parents=True, exist_ok=True)
        return cls(root)

    def directory(self, name: str) -> Path:
        """A directory of the cache by name, made if it is not there."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def log(self) -> Path:
        return self.root / "build.log"

    @property
    def sessions(self) -> Path:
        return self.directory("sessions")

    @contextlib.contextmanager
    def using(self, directory: Path) -> Iterator[None]:
        """Keep `directory` of the cache from being pruned, and note that it was used."""
        use = self.root / f"{directory.name}.use"
        with locked(use, exclusive=False):
            os.utime(use)
            yield


def try_lock(path: Path, *, exclusive: bool) -> int | None:
    """A file descriptor holding flock(2) on `path`, or None when somebody else holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextlib.contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold flock(2) on `path`, waiting for it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def prune(cache: Cache, prefix: str, *, keep: str) -> None:
    """Remove the directories `prefix`* that are neither `keep` nor used, now or lately (by another branch, perhaps)."""
    for path in cache.root.glob(f"{prefix}*"):
        if path.name == keep or not path.is_dir():
            continue
        use = cache.root / f"{path.name}.use"
        if use.exists() and time.time() - use.stat().st_mtime < _KEPT_S:
            continue
        fd = try_lock(use, exclusive=True)
        if fd is not None:
            shutil.rmtree(path)
            use.unlink()
            os.close(fd)


def clean(cache: Cache) -> None:
    """Remove the whole cache. Raises HostError while a session lives in it or a build goes on."""
    with contextlib.ExitStack() as locks:
        for path in (cache.root / "lock", *cache.root.glob("*.use")):
            fd = try_lock(path, exclusive=True)
            if fd is None:
                raise HostError(f"{cache.root} is in use by a session or a build", hint="end it first")
            locks.callback(os.close, fd)
        shutil.rmtree(cache.root)
