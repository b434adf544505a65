"""A host that loses its power and comes up again, as far as one root can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pyodcr.lifecycle.db import Database
from pyodcr.linux import cgroups, mounts, processes
from tests.support.box import Box, wait_for
from tests.support.checkpoints import operations

BOOT_BEFORE = "11111111-2222-3333-4444-555555555555"
RUNTIMES_STATE = (Path("/run/runc"), Path("/run/crun"))


def reboot(box: Box, *, keep_runroot: bool = False) -> None:
    """End at once all that runs of ``box``, and take away what no boot hands on to the next.

    ``keep_runroot``: the run root is no tmpfs, so its files are still there.
    """
    ids = box.containers()
    interfaces = _bridges(box)
    wait_for(lambda: not _kill_all(box), "its processes to die")
    for identity in ids:
        assert cgroups.kill(f"/pyodcr/{identity}")
        cgroups.remove(f"/pyodcr/{identity}")
        for directory in RUNTIMES_STATE:
            mounts.unmount_below(directory / identity)
            shutil.rmtree(directory / identity, ignore_errors=True)
    for directory in (box.root, box.runroot):
        mounts.unmount_below(directory)
    for directory in Path("/tmp").glob(".criu.mntns.*"):  # of a CRIU that was killed
        mounts.unmount_below(directory)
        directory.rmdir()
    if not keep_runroot:
        shutil.rmtree(box.runroot)
        box.runroot.mkdir()
    for interface in interfaces:
        subprocess.run(["ip", "link", "delete", interface], check=True)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    _date_back(box)


def _kill_all(box: Box) -> list[int]:
    """Pyodcr, conmon and the name server are given paths of the root; all the others are their descendants."""
    found = list(_processes(box))
    processes.kill_families(found)
    return found


def _processes(box: Box) -> Iterator[int]:
    for pid in processes.pids():
        line = " ".join(processes.arguments(pid))
        if pid != os.getpid() and (str(box.root) in line or str(box.runroot) in line):
            yield pid


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
