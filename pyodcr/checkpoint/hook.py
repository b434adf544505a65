"""The owner's end of CRIU's hook: who asks, what is answered, and proof of life while the answer is made.

CRIU runs its action script through a per-container configuration file behind the annotation
``org.criu.config``; the script's exit status decides. At ``pre-dump`` nothing is frozen yet; at
``post-dump`` every image is written and the tasks are stopped, and a refusal lets them run on.

The hook fails *open* when CRIU never hears of it (no file, no annotation when the container was created):
the container would be killed without an archive. So the files lie under ROOT, are written and read back
before each dump, and the dump is trusted only after the handshake at ``pre-dump``.

CRIU, its hook and the runtime wait for the answer for ever, so it is given in any case: a hook that hears nothing for
10 s refuses by itself, one that waits longer than the container may be frozen is refused (:attr:`Question.late`), and
the death of a CRIU that holds the container is told at once, whatever the owner is busy with.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyodcr import jsonio
from pyodcr.checkpoint import hook_client
from pyodcr.errors import SystemFailed, Unsupported
from pyodcr.linux import files
from pyodcr.linux.cgroups import Freezer

HEARTBEAT_S = 2.0
STAGES = ("pre-dump", "post-dump")  # the other ones (network-lock...) need no answer, and come while all is frozen
SCRIPT = """\
#!/bin/sh
case $CRTOOLS_SCRIPT_ACTION in
{stages}) exec {command} ;;
esac
"""
PEER_CREDENTIALS = struct.Struct("3i")
QUESTION_BYTES = 4096

# CRIU splits the lines of its configuration at blanks and cuts them at #; its quotes do not work for blanks
UNSPEAKABLE = re.compile(r"[\s#\"\\]")


@dataclass(frozen=True, slots=True)
class Words:
    """What the hook says: the stage of CRIU's work, and CRIU's pid."""

    stage: str
    criu: int


@dataclass(frozen=True, slots=True)
class Question:
    """What a hook asks, as long as it waits for the answer."""

    stage: str
    criu: int
    hook_end: int  # descriptors that become readable when the hook, or its CRIU, is dead
    criu_end: int
    deadline: float | None = None  # by time.monotonic(): then it is refused

    def stands(self) -> bool:
        """Whether both are alive. Only then is it certain that no process of the container moves."""
        return not select.select([self.hook_end, self.criu_end], [], [], 0)[0]

    @property
    def criu_lives(self) -> bool:
        return not select.select([self.criu_end], [], [], 0)[0]

    @property
    def late(self) -> bool:
        """Whether the container has been frozen for as long as it may be."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def write_configuration(directory: Path, runtime: str, options: Sequence[str]) -> None:
    """Write ``criu.conf`` below ``directory``: the administrator's lines for ``runtime``, then ``options``, which win.

    The annotation that names the file *replaces* the administrator's own.
    """
    files.make_directory(directory)
    path = directory / "criu.conf"
    content = "".join(f"{line}\n" for line in (*_administrators_lines(runtime), *options))
    files.write(path, content)
    if files.read(path) != content:
        raise SystemFailed(f"{path} is not what was just written to it")


def write_hook(directory: Path, socket_directory: Path, freezer: Freezer | None) -> str:
    """Write the script below ``directory`` (durable, executable: never the run root); its line for criu.conf.

    ``freezer`` is that of the container's cgroup.
    """
    path = files.make_directory(directory) / "hook"
    if UNSPEAKABLE.search(str(path)):
        raise Unsupported(
            f"criu's configuration cannot name {path}",
            code="root-unspeakable",
            hint="choose a --root without blanks, quotes, backslashes and # in it",
        )
    words = [sys.executable, "-I", "-S", "-E", hook_client.__file__, str(socket_directory)]
    if freezer is not None:
        words += [str(freezer.file), freezer.frozen, freezer.thawed]
    files.write(path, SCRIPT.format(stages="|".join(STAGES), command=shlex.join(words)), mode=0o700)
    return f"action-script {path}"


def _administrators_lines(runtime: str) -> list[str]:
    """What the runtime would read by itself: the first of its files that is there."""
    for name in ("crun", "runc") if runtime == "crun" else ("runc",):
        text = files.read(Path(f"/etc/criu/{name}.conf"))
        if text is not None:
            return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return []


class HookServer:
    """Listens in ``directory`` for the container's CRIU; one question at a time.

    ``max_frozen_s``: how long the container may stand still, from the handshake on; None: as long as it takes.
    """

    def __init__(self, directory: Path, *, max_frozen_s: float | None = None) -> None:
        self._directory = files.make_directory(directory)
        self._max_frozen_s = max_frozen_s
        self._deadline: float | None = None
        self._close = ExitStack()
        self._running: dict[int, int] = {}  # the runtime and its CRIU: pid -> pidfd
        self._listener = self._close.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.remove(directory / "socket")
            self._listener.bind(f"/proc/self/fd/{fd}/socket")  # an address may hold 107 bytes, the path more
        finally:
            os.close(fd)
        self._listener.listen(4)

    def close(self) -> None:
        self._close.close()
        files.remove_tree(self._directory)

    def refuse(self) -> None:
        """Listen no more: from now on CRIU's hooks find nobody, which is a refusal."""
        self._listener.close()

    def serve(self, runtime: int, answer: Callable[[Question], bool], lost: Callable[[Question], None]) -> None:
        """Answer questions until ``runtime``, a session leader, and the CRIU it started have both ended.

        A runtime that is killed does not end its CRIU. ``answer`` runs in this thread; while it works the hook
        gets a heartbeat. It must not raise. An exception (a signal's) may be followed by another call.
        ``lost`` is called on another thread when the answer does not count any more: it is late, or CRIU is dead.
        """
        self._watch(runtime)
        while self._running:
            listening = self._listener.fileno()  # -1 when it was closed
            ready, _, _ = select.select([fd for fd in (listening, *self._running.values()) if fd >= 0], [], [])
            if listening in ready:
                connection, _ = self._listener.accept()
                with connection:
                    self._converse(connection, runtime, answer, lost)
            else:
                self._running = {pid: fd for pid, fd in self._running.items() if fd not in ready}

    def _watch(self, pid: int) -> int:
        if pid not in self._running:
            self._running[pid] = os.pidfd_open(pid)
            self._close.callback(os.close, self._running[pid])
        return self._running[pid]

    def _converse(
        self,
        connection: socket.socket,
        runtime: int,
        answer: Callable[[Question], bool],
        lost: Callable[[Question], None],
    ) -> None:
        connection.settimeout(HEARTBEAT_S)
        words = _read(connection)
        if words is None or not _is_of(runtime, connection, words.criu):
            return
        try:
            criu_end = self._watch(words.criu)
        except ProcessLookupError:
            return
        if words.stage == "pre-dump" and self._max_frozen_s is not None:
            self._deadline = time.monotonic() + self._max_frozen_s
        question = Question(words.stage, words.criu, connection.fileno(), criu_end, self._deadline)
        with _heartbeat(connection, question, lost):
            go_on = answer(question)
        with suppress(OSError):  # the hook is dead: then CRIU has taken that for a refusal
            connection.sendall(b"0" if go_on else b"1")


def _is_of(runtime: int, connection: socket.socket, criu: int) -> bool:
    """Whether both the hook that asks and its CRIU are of the session that ``runtime`` leads.

    The CRIU of another dump is not, nor is what a hook has for a parent whose CRIU has died.
    """
    hook, _, _ = PEER_CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    )
    try:
        return os.getsid(hook) == os.getsid(criu) == runtime
    except ProcessLookupError:
        return False


def _read(connection: socket.socket) -> Words | None:
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) < QUESTION_BYTES:
            chunk = connection.recv(QUESTION_BYTES)
            if not chunk:
                return None
            data += chunk
        return jsonio.decode(Words, jsonio.loads(data, "the hook's question"))
    except (OSError, jsonio.JsonInvalid):
        return None


@contextmanager
def _heartbeat(connection: socket.socket, question: Question, lost: Callable[[Question], None]) -> Iterator[None]:
    """While the answer is made: say that we live, refuse when it is late, and see to it that CRIU lives."""
    done = os.eventfd(0, os.EFD_CLOEXEC)
    thread = threading.Thread(target=_beat, args=(connection, question, lost, done), name="hook-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.eventfd_write(done, 1)
        thread.join()
        os.close(done)


def _beat(connection: socket.socket, question: Question, lost: Callable[[Question], None], done: int) -> None:
    while True:
        ready, _, _ = select.select([done, question.criu_end], [], [], _until_next_beat(question))
        if done in ready:
            return
        late = question.late
        if not ready:
            with suppress(OSError):
                connection.sendall(b"1" if late else b".")
        if ready or late:
            lost(question)
            return


def _until_next_beat(question: Question) -> float:
    if question.deadline is None:
        return HEARTBEAT_S
    return min(HEARTBEAT_S, max(0.0, question.deadline - time.monotonic()))
