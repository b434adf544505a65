"""Run build commands in a tree: a private mount namespace and a chroot, with the machine's network.

Every mount lives in the namespace of the child and dies with it, so a tree that failed half-way can simply be removed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from . import syscalls as sc

# A build that is killed takes its tools with it, however many generations down they are.
_CONTAINED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=unchanged")


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    tree: Path | None = None,
    binds: Mapping[Path, Path] | None = None,
    scratch: Path | None = None,
) -> int:
    """Run `argv` with its output appended to `log` and return its exit status.

    With `tree` it is run in that root, with /proc, /sys and /dev of the machine and `binds` (target inside the tree:
    source on the machine); without, on the machine itself but still in a mount namespace of its own. With `scratch`, an
    empty directory, the tree itself stays as it is: what is written to it, mount points included, lands there.
    """

    def enter() -> None:
        sc.die_with_parent(signal.SIGKILL)
        sc.unshare(sc.CLONE_NEWNS)
        sc.mount("none", Path("/"), flags=sc.MS_PRIVATE | sc.MS_REC)
        if tree is None:
            return
        root = tree if scratch is None else _overlay(tree, scratch)
        sc.mount("proc", root / "proc", "proc")
        sc.bind(Path("/sys"), root / "sys", recursive=True)
        sc.bind(Path("/dev"), root / "dev", recursive=True)
        for target, source in (binds or {}).items():
            sc.bind(source, root / target.relative_to("/"))
        os.chroot(root)
        os.chdir("/")

    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(argv)}\n".encode())
        output.flush()
        child = subprocess.Popen(
            [*_CONTAINED, *argv],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=enter,
        )
        try:
            return child.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                child.terminate()
            child.wait()
            raise


def _overlay(tree: Path, scratch: Path) -> Path:
    for name in ("upper", "work", "root"):
        (scratch / name).mkdir()
    options = f"lowerdir={tree},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    sc.mount("overlay", scratch / "root", "overlay", data=options)
    return scratch / "root"
