"""What may be asked of checkpoint and restore, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pyodcr.checkpoint.archive.compression import Compression
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Container


def parse_compression(text: str) -> Compression:
    """``--compress``, with Podman's words for what it does not take."""
    try:
        return Compression(text.lower())
    except ValueError as error:
        raise UsageError(
            f'selected compression algorithm ("{text}") not supported. '
            f"Please select one from: {', '.join(sorted(Compression))}"
        ) from error


MAX_FROZEN_S = 60.0


class Progress(Protocol):
    """Called with the bytes done so far and the expected total (0: not known)."""

    def __call__(self, done_bytes: int, total_bytes: int) -> None: ...


Warn = Callable[[str], None]


def no_warning(line: str) -> None:
    del line


def no_progress(done_bytes: int, total_bytes: int) -> None:
    del done_bytes, total_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpOptions:
    """``podman container checkpoint``'s flags, by name; ``export`` is a destination, empty for local images.

    ``max_frozen_s``: a container that stands still for longer is let run, and there is no checkpoint; 0: it may stand
    still for ever; None: :data:`MAX_FROZEN_S` for one that is to run on, for ever for one that is to be stopped.
    """

    export: str = ""
    compression: Compression = Compression.ZSTD
    leave_running: bool = False
    keep: bool = False
    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    max_frozen_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_frozen_s is not None and not 0 <= self.max_frozen_s < float("inf"):
            raise UsageError("--max-frozen takes seconds, 0 for as long as it takes")
        for name in ("ignore_rootfs", "ignore_volumes"):
            if getattr(self, name) and not self.export:
                raise UsageError(f"--{name.replace('_', '-')} can only be used with --export")

    @property
    def frozen_limit_s(self) -> float | None:
        if self.max_frozen_s is None:
            return MAX_FROZEN_S if self.leave_running else None
        return self.max_frozen_s or None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """``podman container restore``'s flags, by name; ``source`` is ``--import``."""

    source: str = ""
    name: str = ""
    keep: bool = False
    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    ignore_static_ip: bool = False
    ignore_static_mac: bool = False
    publish: tuple[str, ...] = ()
    trust: bool = False  # ours, not Podman's: see checkpoint.reach

    def __post_init__(self) -> None:
        if self.name and self.tcp_established:
            raise UsageError("--tcp-established cannot be used with --name")
        for name in ("name", "ignore_rootfs", "ignore_volumes", "publish", "trust"):
            if getattr(self, name) and not self.source:
                raise UsageError(f"--{name.replace('_', '-')} can only be used with --import")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A checkpoint or restore that succeeded.

    Durations are in microseconds, as CRIU's and Podman's statistics are. ``archive`` is the URL it went to or came
    from, ``archive_bytes`` its size there; ``warnings`` are lines for the user.
    """

    container: Container
    duration_us: int
    runtime_us: int
    statistics: Mapping[str, int] = field(default_factory=dict)
    archive: str = ""
    archive_bytes: int = 0
    content_bytes: int = 0
    frozen_us: int = 0
    staging: str = ""  # the medium of a dump's images
    warnings: tuple[str, ...] = ()
