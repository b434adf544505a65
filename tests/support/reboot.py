"""A host that loses its power and comes up again, as far as one root can tell."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pyodcr.lifecycle.db import Database
from tests.support.box import Box, power_off
from tests.support.checkpoints import operations

BOOT_BEFORE = "11111111-2222-3333-4444-555555555555"


def reboot(box: Box, *, keep_runroot: bool = False) -> None:
    """End at once all that runs of ``box``, and take away what no boot hands on to the next.

    ``keep_runroot``: the run root is no tmpfs, so its files are still there.
    """
    interfaces = _bridges(box)
    power_off(box)
    if not keep_runroot:
        shutil.rmtree(box.runroot)
        box.runroot.mkdir()
    for interface in interfaces:
        subprocess.run(["ip", "link", "delete", interface], check=True)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    _date_back(box)


def _bridges(box: Box) -> list[str]:
    names = {path.name for path in Path("/sys/class/net").iterdir() if (path / "bridge").is_dir()}
    ledger = box.runroot / "network/attachments.json"
    known = ledger.read_text() if ledger.exists() else ""
    return [name for name in sorted(names) if f'"{name}"' in known]


def _date_back(box: Box) -> None:
    """What is recorded belongs to the boot before: the kernel's boot id cannot be changed."""
    with closing(Database(box.root / "state.sqlite")) as database:
        database.put_meta("boot", BOOT_BEFORE)
        for operation in operations(box):
            database.put_operation(replace(operation, boot_id=BOOT_BEFORE))
