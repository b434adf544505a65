"""kill -9 at any moment: pyodcr under strace, killed as it enters a system call that changes something.

    steps = changes(box, "start", "c")        the calls the command makes when nothing happens to it
    kill_at(box, steps[17], "start", "c")     the same command, dead before that one

Only the process itself is killed, and only for calls of its main thread (strace without -f): its children live on,
as they do when the OOM killer takes pyodcr.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.box import Box

# what can be seen from outside after the process is dead; `?`: not on every architecture
CHANGES = (
    "fsync,fdatasync,?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat,?rmdir,mount,umount2,"
    "clone,clone3,?fork,?vfork,connect,sendto,sendmsg,kill,?chown,fchownat,?chmod,fchmod"
)
WAIT_S = 60.0


class Step(NamedTuple):
    """The ``nth`` call of this name."""

    call: str
    nth: int


def changes(box: Box, *words: str | Path) -> list[Step]:
    """Run the command, which must succeed, and tell its steps in their order."""
    with tempfile.NamedTemporaryFile() as log:
        done = _strace(box, ["-o", log.name, "-e", f"trace={CHANGES}", "-e", "signal=none"], *words)
        assert done.returncode == 0, done.stderr.decode()
        calls = [line.partition("(")[0] for line in Path(log.name).read_text().splitlines()]
    seen: Counter[str] = Counter()
    steps = []
    for call in calls:
        seen[call] += 1
        steps.append(Step(call, seen[call]))
    return steps


def kill_at(box: Box, step: Step, *words: str | Path) -> bool:
    """Run the command and kill it as it enters ``step``; False if it had ended before."""
    inject = f"inject={step.call}:signal=SIGKILL:when={step.nth}"
    done = _strace(box, ["-o", "/dev/null", "-e", f"trace={step.call}", "-e", inject], *words)
    return done.returncode == -9


def _strace(box: Box, options: list[str], *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["strace", "-qq", *options, *box.argv(*words)],
        # compiling modules on the way would change the count
        env=box.environ() | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )


def sample(steps: Sequence[Step], points: int) -> list[Step]:
    """That many of the steps, evenly spread, the first and the last among them."""
    if points >= len(steps):
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (points - 1))] for index in range(points)]
