"""The directories we live in: filesystem, mount options, space."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from pyodcr.checkpoint import observe
from pyodcr.checkpoint.hostcheck.result import Finding, failed, ok, warning
from pyodcr.config import Config
from pyodcr.errors import SystemFailed
from pyodcr.linux import mounts

GIB = 1 << 30
ROOT_WANTED_BYTES = 2 * GIB  # an image, a container and one checkpoint
RUNROOT_WANTED_BYTES = GIB // 16


def root(config: Config) -> Finding:
    if observe.is_noexec(config.root):
        return failed(
            str(config.root),
            "on a filesystem mounted noexec: neither containers nor the commit hook could be executed there",
            "choose another --root, or remount the filesystem with exec",
        )
    return judge_space("root", config.root, observe.free_bytes(config.root), ROOT_WANTED_BYTES)


def runroot(config: Config) -> Finding:
    return judge_space("runroot", config.runroot, observe.free_bytes(config.runroot), RUNROOT_WANTED_BYTES)


def judge_space(name: str, directory: Path, free_bytes: int, wanted_bytes: int) -> Finding:
    found = f"{directory}: {free_bytes / GIB:.1f} GiB free"
    if free_bytes < wanted_bytes:
        return warning(found, f"less than {wanted_bytes / GIB:.2g} GiB", f"free some space, or choose another --{name}")
    return ok(found)


def overlay(config: Config) -> Finding:
    """Mount an overlay where containers would have theirs: not every filesystem can be its upper layer."""
    place = observe.existing(config.root)
    if os.geteuid() != 0:
        return warning("", "only root can try it", "use sudo")
    try:
        _try_overlay(place)
    except SystemFailed as error:
        return failed(
            str(place),
            error.message,
            "load the kernel's module overlay, and put --root on ext4, xfs or btrfs (not on an overlay, nor on NFS)",
        )
    return ok(str(place), "can be an upper layer")


def _try_overlay(place: Path) -> None:
    from tempfile import TemporaryDirectory

    with ExitStack() as undo:
        try:
            trial = Path(undo.enter_context(TemporaryDirectory(prefix=".pyodcr-trial-", dir=place)))
            layers = {name: trial / name for name in ("lowerdir", "upperdir", "workdir")}
            for directory in (*layers.values(), trial / "merged"):
                directory.mkdir()
        except OSError as error:
            raise SystemFailed(f"cannot write below {place}: {(error.strerror or str(error)).lower()}") from error
        options = ",".join(f"{name}={directory}" for name, directory in layers.items())
        mounts.mount("overlay", trial / "merged", "overlay", options=options)
        undo.callback(mounts.unmount, trial / "merged", lazy=True)
        try:
            (trial / "merged" / "file").write_bytes(b"")
        except OSError as error:
            raise SystemFailed(f"cannot write through an overlay on {place}: {error.strerror}") from error
