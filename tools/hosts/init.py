"""The first process of a host: starts the command, adopts and reaps, and takes everything down when it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from . import cgroups

NOT_FOUND = 127
_PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "LINES")
_PASSED_ON_PREFIXES = ("PYTEST_", "PYODCR_", "HYPOTHESIS_")


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a host's commands: little of the machine's own, so that tests do not depend on it."""
    passed = {
        name: value
        for name, value in given.items()
        if (name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)) and not name.startswith("PYODCR_TESTHOST_")
    }
    return {
        "PATH": _PATH,
        "HOME": "/root",
        "USER": "root",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "VIRTUAL_ENV": "/opt/venv",
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        "PYODCR_TESTHOST": "1",
        **passed,
    }


def run(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run `argv` as the host's main command, end every other process after it, and return its exit status."""
    main = os.fork()
    if main == 0:
        _become(argv, env)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(main, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    while True:
        pid, status = os.wait()
        if pid == main:
            break
    _end_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(argv: Sequence[str], env: Mapping[str, str]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], list(argv), dict(env))
    except OSError as error:
        os.write(2, f"testhost: {argv[0]}: {error.strerror}\n".encode())
    os._exit(NOT_FOUND)


def _end_all(*, patience_s: float = 10) -> None:
    """Kill and reap all that is left, frozen containers included: the kernel waits for them when init exits."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        cgroups.thaw(Path("/sys/fs/cgroup/freezer"))
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
