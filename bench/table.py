"""The results in words and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import FLOOR, OURS, THEIRS, Figure, Row

WORDS = {
    "export_s": "export",
    "export-durable_s": "export, until it is on the disk",
    "export-frozen_s": "export: last tick until the end",
    "export-cpu_s": "export: processor time",
    "export-charged_bytes": "export: memory charged",
    "export-own_bytes": "export: memory of own processes",
    "archive_bytes": "archive",
    "running-export_s": "export --leave-running",
    "running-frozen_s": "export --leave-running: frozen",
    "running-cpu_s": "export --leave-running: processor time",
    "import_s": "import, until the first tick",
    "import-command_s": "import, until the end of the command",
    "import-cpu_s": "import: processor time",
    "import-charged_bytes": "import: memory charged",
    "import-own_bytes": "import: memory of own processes",
    "ps_s": "ps",
    "ps-cpu_s": "ps: processor time",
}
BARE = {
    "export_s": "bare dump in memory",
    "export-frozen_s": "bare dump: last tick until the end",
    "running-export_s": "bare dump --leave-running",
    "running-frozen_s": "bare dump --leave-running: frozen",
    "import_s": "bare restore from memory, until the first tick",
    "zstd-1_s": "zstd -1 of the memory, to nowhere",
    "zstd-3_s": "zstd -3 of the memory, to nowhere",
    "write_s": "half of its bytes onto the disk, with fsync",
}
HEAD = ("", "", "pyodcr", "(least)", "podman", "(least)", "ratio", "floor")


def number(what: str, value: float) -> str:
    """With a unit: ``what`` says which."""
    if what.endswith("_bytes"):
        return f"{value / (1 << 20):.0f} MiB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def words(what: str, *, floor: bool = False) -> str:
    """What a measure is called; the parts of a command carry their names."""
    return (BARE if floor else WORDS).get(what, what.partition(";")[0])


def cells(row: Row) -> tuple[str, ...]:
    ours, theirs = (_figure(row.what, row.figures.get(side)) for side in (OURS, THEIRS))
    gain = "" if row.gain is None else f"{row.gain:.2f}"
    floor, _ = _figure(row.what, row.figures.get(FLOOR))
    return (row.scene, words(row.what, floor=row.figures.keys() == {FLOOR}), *ours, *theirs, gain, floor)


def _figure(what: str, found: Figure | None) -> tuple[str, str]:
    return ("", "") if found is None else (number(what, found.median), number(what, found.least))


def text(rows: Iterable[Row]) -> str:
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(_padded(line, widths) for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    left, right = zip(line[:2], widths[:2], strict=True), zip(line[2:], widths[2:], strict=True)
    words = [*(cell.ljust(width) for cell, width in left), *(cell.rjust(width) for cell, width in right)]
    return "  ".join(words).rstrip()
