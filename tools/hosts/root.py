"""Assemble the root file system of a host and move into it.

The pristine tree is the lower layer of an overlay. What holds containers' own overlays lies on the machine's file
system directly (the kernel refuses an overlay as the upper layer of another), in the session's scratch directory:

    SCRATCH/upper work root      the overlay and the place where it is mounted
    SCRATCH/data/...             /var/lib/pyodcr, /var/lib/containers, /var/tmp
    SCRATCH/hosts                scratch of further hosts beside this one: /.hosts
    SCRATCH/shared               what all of them see: /shared
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import syscalls as sc
from .errors import HostError

_SAFE = sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC
_DEVICES = (
    "null", "zero", "full", "random", "urandom", "tty", "kmsg", "fuse", "kvm", "userfaultfd", "net/tun",
    "btrfs-control", "loop-control", *(f"loop{number}" for number in range(8)),
)  # fmt: skip
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a host is made of: paths as seen by the process that assembles it."""

    tree: Path
    venv: Path
    checkout: Path
    scratch: Path
    shared: Path
    mount_cgroups: Callable[[Path], None]

    def prepare(self) -> None:
        """Make the directories of the scratch area."""
        for name in ("upper", "work", "root", "data/pyodcr", "data/containers", "data/tmp", "hosts"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)
        self.shared.mkdir(exist_ok=True)
        (self.scratch / "data/tmp").chmod(0o1777)


def enter(layout: Layout, *, hostname: str) -> None:
    """Mount everything and pivot into it. The caller owns fresh mount, network and UTS namespaces.

    Raises OSError naming the mount that failed, HostError when the scratch directory cannot hold an overlay.
    """
    sc.mount("none", Path("/"), flags=sc.MS_PRIVATE | sc.MS_REC)
    root = layout.scratch / "root"
    options = f"lowerdir={layout.tree},upperdir={layout.scratch / 'upper'},workdir={layout.scratch / 'work'}"
    try:
        sc.mount("overlay", root, "overlay", data=options)
    except OSError as error:
        raise HostError(
            f"no overlay can be mounted on {layout.scratch}: {error.strerror}",
            hint="name a directory on a plain file system in PYODCR_TESTHOST_CACHE",
        ) from error
    sc.mount("proc", root / "proc", "proc", _SAFE)
    _mount_dev(root / "dev")
    sc.mount("sysfs", root / "sys", "sysfs", _SAFE)
    layout.mount_cgroups(root / "sys/fs/cgroup")
    for name, mode in (("run", "755"), ("tmp", "1777")):
        sc.mount("tmpfs", root / name, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, f"mode={mode}")
    sc.bind(layout.tree, root / ".tree", readonly=True)
    sc.bind(layout.venv, root / "opt/venv", readonly=True)
    sc.bind(layout.checkout, root / "src")
    sc.bind(layout.shared, root / "shared")
    sc.bind(layout.scratch / "hosts", root / ".hosts")
    for name, target in (("pyodcr", "var/lib/pyodcr"), ("containers", "var/lib/containers"), ("tmp", "var/tmp")):
        sc.bind(layout.scratch / "data" / name, root / target)
    (root / "etc/hostname").write_text(f"{hostname}\n")
    (root / "etc/resolv.conf").write_text("")  # a host of its own network: nobody answers names here
    sc.pivot_root(root)
    # As on any machine that systemd booted: what containers and engines rely on when they ask for propagation.
    sc.mount("none", Path("/"), flags=sc.MS_SHARED | sc.MS_REC)


def _mount_dev(dev: Path) -> None:
    sc.mount("tmpfs", dev, "tmpfs", sc.MS_NOSUID, "mode=755")
    for name in _DEVICES:
        with suppress(FileNotFoundError):  # the machine has no such device
            facts = os.stat(f"/dev/{name}")
            (dev / name).parent.mkdir(exist_ok=True)
            os.mknod(dev / name, stat.S_IFMT(facts.st_mode) | 0o666, facts.st_rdev)
            (dev / name).chmod(stat.S_IMODE(facts.st_mode))  # whatever the umask is
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    sc.mount("devpts", dev / "pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=666")
    sc.mount("tmpfs", dev / "shm", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, "mode=1777")
    sc.mount("mqueue", dev / "mqueue", "mqueue", _SAFE)
    with suppress(OSError):  # no terminal, or one without a name
        name = os.ttyname(0)  # it lies in a devpts that is not seen here, and programs look for one
        (dev / "console").touch()
        sc.mount(name, dev / "console", flags=sc.MS_BIND)
