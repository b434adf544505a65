"""The owner's end of CRIU's hook: who asks, what is answered, and proof of life while the answer is made.

CRIU runs its action script through a per-container configuration file behind the annotation
``org.criu.config``; the script's exit status decides. At ``pre-dump`` nothing is frozen yet; at
``post-dump`` every image is written and the tasks are stopped, and a refusal lets them run on.

The hook fails *open* when CRIU never hears of it (no file, no annotation when the container was created):
the container would be killed without an archive. So the files lie under ROOT, are written and read back
before each dump, and the dump is trusted only after the handshake at ``pre-dump``.
"""

from __future__ import annotations

import os
import select
import shlex
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyodcr import jsonio
from pyodcr.checkpoint import hook_client
from pyodcr.errors import SystemFailed, Unsupported
from pyodcr.linux import files

HEARTBEAT_S = 2.0
ANNOTATION = "org.criu.config"
PEER_CREDENTIALS = struct.Struct("3i")
QUESTION_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Question:
    """A stage of CRIU's work, and the pids of CRIU and of the container's init in our pid namespace."""

    stage: str
    criu: int
    init: int


def write_configuration(directory: Path, socket_directory: Path, options: Sequence[str]) -> Path:
    """Write the hook script and ``criu.conf`` below ``directory`` (durable, executable: never the run root).

    ``options`` are further lines of criu.conf. The annotation replaces the administrator's own file
    (/etc/criu/runc.conf, crun.conf), so its lines come first and ours after, which win.
    """
    files.make_directory(directory)
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        raise Unsupported(
            f"{directory} is on a filesystem mounted noexec: CRIU could not run its hook there",
            hint="choose a --root on a filesystem that allows executing",
        )
    script, configuration = directory / "hook", directory / "criu.conf"
    files.write(script, _script(socket_directory), mode=0o700)
    lines = [*_administrators_lines(), *options, f"action-script {script}"]
    content = "".join(f"{line}\n" for line in lines)
    files.write(configuration, content)
    if files.read(configuration) != content:
        raise SystemFailed(f"{configuration} is not what was just written to it")
    return configuration


def clear_configuration(directory: Path) -> None:
    """Leave an empty criu.conf: the annotation names it, and nothing may be asked when nobody answers."""
    files.write(directory / "criu.conf", "")


def _script(socket_directory: Path) -> str:
    command = [sys.executable, "-I", "-S", "-E", hook_client.__file__, str(socket_directory)]
    return f"#!/bin/sh\nexec {shlex.join(command)}\n"


def _administrators_lines() -> list[str]:
    for name in ("/etc/criu/crun.conf", "/etc/criu/runc.conf"):
        text = files.read(Path(name))
        if text is not None:
            return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return []


class HookServer:
    """Listens in ``directory`` for the container's CRIU; one question at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = files.make_directory(directory)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.remove(directory / "socket")
            self._listener.bind(f"/proc/self/fd/{fd}/socket")
        finally:
            os.close(fd)
        self._listener.listen(4)

    def close(self) -> None:
        self._listener.close()
        files.remove_tree(self._directory)

    def serve(self, ended: int, answer: Callable[[Question], bool]) -> None:
        """Answer questions until the file descriptor ``ended`` is readable (the runtime's pidfd).

        ``answer`` runs in this thread; while it works the hook gets a heartbeat. It must not raise.
        """
        while True:
            ready, _, _ = select.select([self._listener.fileno(), ended], [], [])
            if self._listener.fileno() in ready:
                connection, _ = self._listener.accept()
                with connection:
                    self._converse(connection, answer)
            elif ended in ready:
                return

    def _converse(self, connection: socket.socket, answer: Callable[[Question], bool]) -> None:
        _, uid, _ = PEER_CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
        )
        if uid != os.geteuid():
            return
        connection.settimeout(HEARTBEAT_S)
        question = _read_question(connection)
        if question is None:
            return
        with _heartbeat(connection):
            go_on = answer(question)
        with suppress(OSError):  # the hook is dead: then CRIU has taken that for a refusal
            connection.sendall(b"0" if go_on else b"1")


def _read_question(connection: socket.socket) -> Question | None:
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) < QUESTION_BYTES:
            chunk = connection.recv(QUESTION_BYTES)
            if not chunk:
                return None
            data += chunk
        return jsonio.decode(Question, jsonio.loads(data, "the hook's question"))
    except (OSError, jsonio.JsonInvalid):
        return None


@contextmanager
def _heartbeat(connection: socket.socket) -> Iterator[None]:
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            with suppress(OSError):
                connection.sendall(b".")

    thread = threading.Thread(target=beat, name="hook-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
