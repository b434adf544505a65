"""CRIU's statistics and logs around one dump or restore: read, kept, put into the archive, turned into an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyodcr.checkpoint import criu, criulog
from pyodcr.checkpoint.criu import DumpStats
from pyodcr.errors import ArchiveInvalid, CriuFailed, SystemFailed
from pyodcr.linux import files

DUMP_LOG, RESTORE_LOG = "dump.log", "restore.log"
STATS_DUMP, STATS_RESTORE = "stats-dump", "stats-restore"
RUNTIME_LOG = "runtime.log"
PAGE_BYTES = 4096


def read_dump(work: Path) -> Mapping[str, int]:
    """Podman's names for CRIU's statistics of a dump (times in microseconds); empty where there are none."""
    try:
        found = criu.read_stats_dump(work / STATS_DUMP)
    except (ArchiveInvalid, SystemFailed):
        return {}
    return {
        "freezing_time": found.freezing_time_us,
        "frozen_time": found.frozen_time_us,
        "memdump_time": found.memdump_time_us,
        "memwrite_time": found.memwrite_time_us,
        "pages_scanned": found.pages_scanned,
        "pages_written": found.pages_written,
    }


def read_restore(work: Path) -> Mapping[str, int]:
    """As :func:`read_dump`, of a restore."""
    try:
        found = criu.read_stats_restore(work / STATS_RESTORE)
    except (ArchiveInvalid, SystemFailed):
        return {}
    return {
        "pages_compared": found.pages_compared,
        "pages_skipped_cow": found.pages_skipped_cow,
        "forking_time": found.forking_time_us,
        "restore_time": found.restore_time_us,
        "pages_restored": found.pages_restored,
    }


def so_far(images: Path, frozen_us: int) -> bytes:
    """The ``stats-dump`` that goes into the archive.

    CRIU writes its own only after our hook has answered, when the archive is complete already; checkpointctl
    and Podman want one, so it holds what is known by then.
    """
    pages = sum(image.stat().st_size for image in images.glob("pages-*.img")) // PAGE_BYTES
    return criu.stats_dump(DumpStats(frozen_time_us=frozen_us, pages_scanned=pages, pages_written=pages))


@contextmanager
def runtime_log(work: Path) -> Iterator[IO[bytes]]:
    """Where the runtime's own words about a dump go."""
    try:
        stream = (work / RUNTIME_LOG).open("wb")
    except OSError as error:
        raise files.failed("write", work / RUNTIME_LOG, error) from error
    with stream:
        yield stream


def keep(work: Path, bundle: Path) -> None:
    """``--keep``: CRIU's log and statistics stay with the container."""
    for name in (DUMP_LOG, STATS_DUMP):
        _move(work / name, bundle / name)


def dump_failed(work: Path, bundle: Path, container: str) -> CriuFailed:
    """Why a dump failed, from CRIU's log, which stays with the container for whoever wants to read it.

    A CRIU that does not like its configuration has none yet; crun passes on what it says then.
    """
    said = (files.read(work / RUNTIME_LOG) or "").strip().splitlines()
    log = _move(work / DUMP_LOG, bundle / DUMP_LOG)
    is_kept = log.exists()
    if not is_kept and criulog.classify(said).code != "criu-failed":
        log = work / RUNTIME_LOG
    error = criulog.to_error(log, action="dump", container=container, said=said[-1] if said else "")
    if not is_kept:
        del error.details["log"]
    return error


def _move(source: Path, target: Path) -> Path:
    """Where a log is then: in its new place, unless it is not there, or cannot be brought there."""
    if source.exists():
        with suppress(SystemFailed):  # what the log tells is more important
            files.move(source, target)
            return target
    return source


def restore_failed(bundle: Path, container: str, said: str) -> CriuFailed:
    """As :func:`dump_failed`; the runtime wrote its log into the bundle."""
    return criulog.to_error(bundle / RESTORE_LOG, action="restore", container=container, said=said)
