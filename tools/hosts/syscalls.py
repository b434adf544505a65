"""The few system calls that Python's library lacks: mount, umount2, unshare, setns, pivot_root, prctl."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x1000, 0x4000, 0x40000, 0x80000, 0x100000
MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000

_PR_SET_PDEATHSIG = 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str | Path, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError naming source and target."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mount {kind or 'bind'} {source} on {target}")


def bind(source: Path, target: Path, *, recursive: bool = False, readonly: bool = False) -> None:
    """Bind `source` on `target`; a missing target is made, a file for a file and a directory for a directory."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))
    if readonly:
        mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def detach(target: Path) -> None:
    """Lazily unmount `target`."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """unshare(2): os.unshare needs Python 3.12."""
    _check(_libc.unshare(flags), "unshare")


def join_namespace(fd: int, kind: int) -> None:
    """setns(2): os.setns needs Python 3.12."""
    _check(_libc.setns(fd, kind), "setns")


def pivot_root(new_root: Path) -> None:
    """Make the mount `new_root` the root of this mount namespace and drop the old one.

    A chroot would not do: CRIU then fails to find the parent of the root mount.
    """
    os.chdir(new_root)
    # The old root is stacked on the new one by giving both as ".", so no directory is needed for it (pivot_root(2)).
    _check(_libc.syscall(_SYS_PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent dies, whatever the parent died of."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")
