"""The results in words and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import OURS, THEIRS, Figure, Row

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
HEAD = ("", "", "pyodcr", "(least)", "podman", "(least)", "ratio")


def number(what: str, value: float) -> str:
    """With a unit: ``what`` says which."""
    if what.endswith("_bytes"):
        return f"{value / (1 << 20):.0f} MiB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def cells(row: Row) -> tuple[str, ...]:
    ours, theirs = (_figure(row.what, row.figures.get(side)) for side in (OURS, THEIRS))
    gain = "" if row.gain is None else f"{row.gain:.2f}"
    return (row.scene, WORDS.get(row.what, row.what), *ours, *theirs, gain)


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
