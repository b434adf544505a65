"""How much of a stranger's archive is taken in before it counts as an attack."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20

# CRIU writes about eight images per process; a reader keeps some 400 bytes per entry until the end.
MAX_ENTRIES = 1 << 16

MAX_FRAMES = 1 << 20  # 4 TiB of tar in frames of ours

# A ratio says nothing about the first bytes.
RATIO_FLOOR_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The defaults refuse nothing that pyodcr or Podman writes; a caller who knows how much room there is says so.

    ``ratio`` bounds tar bytes by archive bytes. Memory full of zeros is legitimate and zstd brings it to
    1/28,000 (four bytes per 128 KiB is its best), so the default stops only what zstd cannot write.
    ``window_bytes`` is the largest window of a foreign compressor: Podman's zstd uses 8 MiB.
    """

    total_bytes: int = 1 << 42
    ratio: int = 1 << 15
    entries: int = MAX_ENTRIES
    frames: int = MAX_FRAMES
    window_bytes: int = 32 * MIB
