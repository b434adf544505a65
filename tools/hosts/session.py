"""Enter the test host: scratch directory, cgroups, namespaces, command, and no trace afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from . import cgroups, init, root
from . import syscalls as sc
from .cache import CHECKOUT, Cache, locked
from .errors import HostError

FAILED = 125


def enter(cache: Cache, tree: Path, venv: Path, argv: Sequence[str], *, name: str, keep: bool) -> int:
    """Run `argv` in a fresh test host and return its exit status. Raises HostError, OSError."""
    if os.geteuid() != 0:
        raise HostError("entering the test host needs root")
    with cache.using(tree), cache.using(venv):
        with locked(cache.root / "sessions.lock", exclusive=True):
            _sweep(cache)
            scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache.sessions))
            lock = _try_lock_directory(scratch)
        scratch.chmod(0o755)
        planned = cgroups.plan(scratch.name, cgroups.hierarchies())
        (scratch / "cgroups").write_text("".join(f"{path}\n" for _, path in planned))
        layout = root.Layout(
            tree=tree,
            venv=venv,
            checkout=CHECKOUT,
            scratch=scratch,
            shared=scratch / "shared",
            mount_cgroups=lambda target: cgroups.mount_view(planned, target),
        )
        try:
            cgroups.create(planned)
            layout.prepare()

            def become_host() -> int:
                cgroups.join(planned)
                sc.unshare(sc.CLONE_NEWNS | sc.CLONE_NEWUTS | sc.CLONE_NEWIPC | sc.CLONE_NEWNET)
                socket.sethostname(name)
                root.enter(layout, hostname=name)
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                os.chdir("/src")
                return init.run(argv, init.environment(os.environ))

            return in_new_pid_namespace(become_host)
        finally:
            gone = cgroups.remove([path for _, path in planned])
            if keep:
                print(f"testhost: kept {scratch}", file=sys.stderr)
                (scratch / "keep").touch()
            elif gone:
                shutil.rmtree(scratch, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def _sweep(cache: Cache) -> None:
    """Remove what sessions that were killed have left: their cgroups (thawing what hangs there) and directories."""
    for scratch in cache.sessions.iterdir():
        if (scratch / "keep").exists():
            continue
        lock = _try_lock_directory(scratch)
        if lock is None:
            continue
        record = scratch / "cgroups"
        named = record.read_text().splitlines() if record.exists() else []
        if cgroups.remove([Path(name) for name in named]):  # else next time: the directory is what remembers them
            shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _try_lock_directory(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def in_new_pid_namespace(work: Callable[[], int], *, meanwhile: Callable[[int], None] | None = None) -> int:
    """Run `work` as the first process of a new pid namespace; `meanwhile` is given its pid. Returns the exit status.

    The terminal's signals reach the command by themselves; the ones sent to this process alone are passed on. When this
    process is killed the kernel ends the namespace's init, and with it everything inside.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    sc.unshare(sc.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        _first_process(work)
    # Back to our own for further children: none can be forked into a namespace whose init has ended.
    sc.join_namespace(own_namespace, sc.CLONE_NEWPID)
    os.close(own_namespace)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    if meanwhile is not None:
        meanwhile(pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _first_process(work: Callable[[], int]) -> None:
    code = FAILED
    try:
        sc.die_with_parent(signal.SIGKILL)
        code = work()
    except (OSError, HostError, subprocess.CalledProcessError) as error:
        hint = f"\n  {error.hint}" if isinstance(error, HostError) and error.hint else ""
        print(f"testhost: {error}{hint}", file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
