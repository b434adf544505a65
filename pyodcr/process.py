"""The one door to other programs.

Every program starts here: argv as a list, a minimal environment, ``LC_ALL=C.UTF-8``,
standard input closed unless given, the line logged as it could be pasted into a shell,
the child always reaped. Foreign failures become :class:`ToolNotFound` and
:class:`CommandFailed`.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from pyodcr.errors import CommandFailed, SystemFailed, ToolNotFound

log = logging.getLogger(__name__)

Argv: TypeAlias = Sequence[str | Path]
Stream: TypeAlias = int | IO[bytes] | None

# Only these of our own environment reach a child: a container engine's tools need no more,
# and credentials (AWS_*) must not travel into runtimes, hooks and logs.
PASSED_ENV = ("PATH", "HOME", "USER", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSL_CERT_FILE")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STDERR_KEPT_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished program left: exit status (-N: killed by signal N), and its output as text."""

    status: int
    stdout: str
    stderr: str


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    env = {name: os.environ[name] for name in PASSED_ENV if name in os.environ}
    env.setdefault("PATH", DEFAULT_PATH)
    return env | {"LC_ALL": "C.UTF-8"} | dict(extra or {})


def which(name: str) -> Path | None:
    """The absolute path of a program, looked for as :func:`run` would (also in sbin, which cron's PATH lacks)."""
    import shutil

    path = os.environ.get("PATH", "") + ":" + DEFAULT_PATH
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def require(name: str, *, hint: str | None = None) -> Path:
    """As :func:`which`, or :class:`ToolNotFound`."""
    found = which(name)
    if found is None:
        raise ToolNotFound(
            f"{name} is not installed", hint=hint or f"install the package that provides {name}", tool=name
        )
    return found


def _argv(argv: Argv) -> list[str]:
    words = [str(word) for word in argv]
    return [str(require(words[0])), *words[1:]]


@contextmanager
def spawn(
    argv: Argv,
    *,
    env: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.DEVNULL,
    stderr: Stream = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    new_session: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program for the length of a ``with`` block; on an exception inside it is killed, and always reaped.

    ``new_session`` shields it from the terminal's Ctrl-C and hang-up.
    """
    child = _start(
        argv,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        cwd=cwd,
        new_session=new_session,
    )
    try:
        yield child
    except BaseException:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        raise
    finally:
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def companion(argv: Argv) -> subprocess.Popen[bytes]:
    """Start a program of our own that outlives us if it wants to: a pipe to its standard input is the only tie.

    It has a session of its own, and all of our environment. Whoever starts it closes the pipe, and waits for it.
    """
    null = subprocess.DEVNULL
    return _start(argv, env=os.environ, stdin=subprocess.PIPE, stdout=null, stderr=null, new_session=True)


def _start(
    argv: Argv,
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    new_session: bool,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    words = _argv(argv)
    log.debug("run: %s", shlex.join(words))
    try:
        return subprocess.Popen(
            words,
            env=environment(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            cwd=cwd,
            start_new_session=new_session,
        )
    except FileNotFoundError as error:
        if cwd is not None and str(error.filename) == str(cwd):
            raise SystemFailed(f"cannot start {words[0]} in {cwd}: there is no such directory") from error
        raise ToolNotFound(f"{words[0]} is not installed", tool=words[0]) from error
    except OSError as error:
        raise SystemFailed(f"cannot start {words[0]}: {error.strerror}") from error


def run(
    argv: Argv,
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | int | IO[bytes] | None = None,
    stdout: Stream = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    check: bool = True,
    timeout_s: float | None = None,
    failure: type[CommandFailed] = CommandFailed,
) -> Result:
    """Run a program to its end. With ``check`` a status other than 0 raises ``failure`` with its last error line.

    ``stdin`` as bytes is fed to the program; None is /dev/null. Output is decoded, bad bytes replaced.
    """
    feed = stdin if isinstance(stdin, bytes) else None
    source: Stream = subprocess.PIPE if feed is not None else subprocess.DEVNULL
    if stdin is not None and not isinstance(stdin, bytes):
        source = stdin
    with spawn(argv, env=env, stdin=source, stdout=stdout, stderr=subprocess.PIPE, pass_fds=pass_fds, cwd=cwd) as child:
        try:
            out, err = child.communicate(feed, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise failure(
                f"{Path(str(argv[0])).name} did not end within {timeout_s} s", status=-signal.SIGKILL
            ) from error
    result = Result(child.returncode, (out or b"").decode(errors="replace"), err.decode(errors="replace"))
    if check and result.status != 0:
        raise failed(argv, result, failure)
    return result


def failed(argv: Argv, result: Result, failure: type[CommandFailed] = CommandFailed) -> CommandFailed:
    """The error that tells of ``result``: the program, its verb, and the last line it said."""
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else f"exit status {result.status}"
    name = Path(str(argv[0])).name
    return failure(
        f"{name} failed: {said}",
        status=result.status,
        stderr=result.stderr[-STDERR_KEPT_CHARS:],
        argv=[str(word) for word in argv],
    )
