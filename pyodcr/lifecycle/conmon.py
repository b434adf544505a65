"""conmon: the monitor that holds a container's stdio, writes its log and its exit file, and outlives us.

conmon runs ``RUNTIME create|restore|exec``, reports the pid over the sync pipe (one JSON line,
``{"data": PID}`` or ``{"data": -1, "message": ...}``), serves the attach socket, and at the end runs our exit
command. We never wait for the sync pipe alone: conmon can hang for ever after a killed restore.

Command line and pipes as libpod's ``oci_conmon_common.go`` and conmon's ``src/cli.c`` have them.
"""

from __future__ import annotations

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pyodcr import jsonio, process
from pyodcr.config import Config
from pyodcr.errors import RuntimeFailed
from pyodcr.lifecycle.models import Container, ContainerConfig, ExecSession
from pyodcr.lifecycle.paths import ContainerPaths, Paths
from pyodcr.lifecycle.runtime import OciRuntime, exec_code
from pyodcr.lifecycle.stranded import Stranded
from pyodcr.linux import boot, cgroups, files, processes

CREATE_TIMEOUT_S = 240.0  # libpod's ContainerCreateTimeout
ATTACH_TIMEOUT_S = 60.0
POLL_S = 0.5
STREAMLESS_LOG_DRIVERS = ("none", "passthrough")


@dataclass(frozen=True, slots=True)
class Started:
    """The container's init and its monitor, each as pid and start time."""

    pid: int
    pid_started: int
    conmon_pid: int
    conmon_started: int


def exit_command(config: Config, *words: str) -> list[str]:
    """Our own command line for conmon to run when the container is dead."""
    command = config.command_line(*words)
    return ["--exit-command", command[0], *(part for word in command[1:] for part in ("--exit-command-arg", word))]


@contextmanager
def _pipe() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


class Conmon:
    """Starts monitors. ``config`` and ``paths`` go into the exit command."""

    def __init__(self, config: Config, paths: Paths) -> None:
        self.config = config
        self.paths = paths

    def create(self, container: ContainerConfig, runtime: OciRuntime, *, inherited: Sequence[int] = ()) -> Started:
        """``RUNTIME create``: the container exists, its init waits for ``start``.

        conmon keeps the descriptors ``inherited`` (the sockets that reserve published ports) open until the end.
        """
        return self._start(container, runtime, [], inherited=inherited)

    def restore(
        self,
        container: ContainerConfig,
        runtime: OciRuntime,
        images: Path,
        options: Sequence[str],
        *,
        inherited: Sequence[int] = (),
    ) -> Started:
        """``RUNTIME restore``: the container runs as soon as this returns. It takes as long as CRIU does."""
        words = ["--restore", str(images)]
        for option in options:
            words += ["--runtime-opt", option]
        return self._start(container, runtime, words, inherited=inherited, restoring=True)

    def _start(
        self,
        container: ContainerConfig,
        runtime: OciRuntime,
        extra: list[str],
        *,
        inherited: Sequence[int],
        restoring: bool = False,
    ) -> Started:
        place = self.paths.container(container.id)
        clear_leftovers(place)
        pid_file = Path(container.conmon_pid_file or place.conmon_pid_file)
        words = _shared(container.id, container.name, runtime, place.bundle, place.pid_file, place.oci_log)
        words += ["--persist-dir", str(place.persist)]
        words += _log_words(container, place)
        words += ["--conmon-pidfile", str(pid_file), *_input_words(tty=container.tty, stdin=container.open_stdin)]
        words += exit_command(self.config, "container", "cleanup", container.id)
        with _pipe() as (sync, sync_theirs), _pipe() as (start, start_theirs):
            pipes = {"_OCI_SYNCPIPE": sync_theirs, "_OCI_STARTPIPE": start_theirs}
            self._launch([*words, *extra], place.bundle, pipes, start, inherited)
            conmon_pid = read_pid(pid_file)
            conmon_started = boot.start_time_to_record(conmon_pid)
            if restoring:
                pid = _await_pid(sync, runtime, place.oci_log, container.name, look=Stranded(conmon_pid, container))
            else:
                pid = _await_pid(sync, runtime, place.oci_log, container.name, deadline_s=CREATE_TIMEOUT_S)
        return Started(pid, boot.start_time_to_record(pid), conmon_pid, conmon_started)

    def exec(
        self, container: Container, runtime: OciRuntime, session: ExecSession, spec: Path, *, tty: bool, stdin: bool
    ) -> ExecMonitor:
        """``RUNTIME exec`` with the OCI process in the file ``spec``; the command waits for :meth:`ExecMonitor.go`.

        conmon says over the attach pipe that its socket is there, and lets the command run at a second byte
        over the start pipe, so whoever attaches in between loses no output.
        """
        directory = spec.parent
        log = directory / "oci-log"
        words = _shared(container.id, container.name, runtime, directory, directory / "pid", log, session=session.id)
        words += ["-l", "none", *_input_words(tty=tty, stdin=stdin)]
        words += ["-e", "--exec-attach", "--exec-process-spec", str(spec)]
        words += exit_command(self.config, "container", "cleanup", "--exec", session.id, container.id)
        with ExitStack() as undo:
            sync, sync_theirs = undo.enter_context(_pipe())
            start, start_theirs = undo.enter_context(_pipe())
            attach, attach_theirs = undo.enter_context(_pipe())
            pipes = {"_OCI_SYNCPIPE": sync_theirs, "_OCI_STARTPIPE": start_theirs, "_OCI_ATTACHPIPE": attach_theirs}
            self._launch(words, directory, pipes, start, ())
            if not select.select([attach], [], [], ATTACH_TIMEOUT_S)[0] or read_answer(attach) is None:
                raise runtime_failed(runtime.name, files.read(log) or "", "conmon did not offer its socket")
            return ExecMonitor(runtime, log, sync, start, undo.pop_all())

    def _launch(
        self,
        words: list[str],
        directory: Path,
        pipes: Mapping[str, socket.socket],
        start: socket.socket,
        inherited: Sequence[int],
    ) -> None:
        """Start conmon, put it into its cgroup, and let it fork into the background; our copies of its ends are closed.

        Its environment is also the exit command's and the runtime's, so it is a minimal one. Its working
        directory is the bundle: it leaves a file ``oom`` there.
        """
        env = {name: str(end.fileno()) for name, end in pipes.items()}
        fds = (*(end.fileno() for end in pipes.values()), *inherited)
        with process.spawn(
            [process.require("conmon"), *words],
            env=env,
            pass_fds=fds,
            cwd=directory,
            new_session=True,
            stderr=subprocess.DEVNULL,
        ) as child:
            # conmon waits for the first byte, so its cgroup is right before it forks
            cgroups.adopt(child.pid, f"{self.config.cgroup_parent}/conmon")
            start.send(b"\0")
        for end in pipes.values():
            end.close()
        if child.returncode != 0:
            raise RuntimeFailed("conmon did not start", status=child.returncode)


@dataclass(slots=True)
class ExecMonitor:
    """A command about to run in a container, and the pipes to its conmon."""

    runtime: OciRuntime
    log: Path
    _sync: socket.socket
    _start: socket.socket
    _close: ExitStack

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def go(self) -> int:
        """Let the command run; its pid."""
        self._start.send(b"\0")
        return _await_pid(self._sync, self.runtime, self.log, "", deadline_s=CREATE_TIMEOUT_S)

    def status(self) -> int:
        """Wait for the command to end; its exit status."""
        answer = read_answer(self._sync)
        return answer[0] if answer is not None else -1


def _shared(
    container_id: str,
    name: str,
    runtime: OciRuntime,
    bundle: Path,
    pid_file: Path,
    log: Path,
    *,
    session: str = "",
) -> list[str]:
    words = ["--api-version", "1", "-c", container_id, "-u", session or container_id, "-n", name]
    words += ["-r", str(runtime.path), "-b", str(bundle), "-p", str(pid_file), "--full-attach"]
    for argument in (*runtime.global_args, "--log-format=json", f"--log={log}"):
        words += ["--runtime-arg", argument]
    return words


def _log_words(container: ContainerConfig, place: ContainerPaths) -> list[str]:
    driver = container.log_driver
    words = ["-l", driver if driver in STREAMLESS_LOG_DRIVERS else f"k8s-file:{container.log_path or place.log}"]
    if container.log_size_bytes > 0:
        words += ["--log-size-max", str(container.log_size_bytes)]
    return words


def _input_words(*, tty: bool, stdin: bool) -> list[str]:
    if tty:
        return ["-t"]
    return ["-i"] if stdin else []


def clear_leftovers(place: ContainerPaths) -> None:
    """Remove what an earlier monitor left: conmon refuses to bind a socket or make a FIFO that is there."""
    for path in (place.bundle / "attach", place.bundle / "ctl", place.bundle / "winsz", place.pid_file, place.oci_log):
        files.remove(path)
    for path in (place.persist / "exit", place.persist / "oom", place.conmon_pid_file):
        files.remove(path)
    for directory in (place.run, place.persist):
        files.make_directory(directory)


def end(container: ContainerConfig, place: ContainerPaths) -> None:
    """Kill a monitor that has not written down its container's end, and the runtime it may be running.

    One that was just started may not have its pid file yet, so it is looked for by its bundle.
    It would write it into the container's next life; after a killed restore it hangs for ever.
    """
    if (place.persist / "exit").exists():
        return
    just_started = (pid for pid in processes.named("conmon") if str(place.bundle) in processes.arguments(pid))
    processes.kill_families({monitor(container, place), *just_started} - {0})


def monitor(container: ContainerConfig, place: ContainerPaths) -> int:
    """The pid of the container's monitor; 0 when it is not there."""
    pid = read_pid(Path(container.conmon_pid_file or place.conmon_pid_file))
    command = processes.arguments(pid) if pid else ()
    return pid if command and Path(command[0]).name == "conmon" and container.id in command else 0


def read_pid(path: Path) -> int:
    text = files.read(path) or ""
    return int(text) if text.strip().isdigit() else 0


def read_answer(sync: socket.socket) -> tuple[int, str] | None:
    """conmon's next message: (pid or -status, text); None at the end of the pipe."""
    with suppress(ConnectionResetError):
        data = sync.recv(1 << 16)
        if data:
            answer = jsonio.loads(data, "conmon's answer")
            return int(answer.get("data", -1)), str(answer.get("message", ""))
    return None


def _await_pid(
    sync: socket.socket,
    runtime: OciRuntime,
    log: Path,
    name: str,
    *,
    look: Callable[[], None] = lambda: None,
    deadline_s: float | None = None,
) -> int:
    """``look`` is called about twice a second, and raises if there will be no answer."""
    end = None if deadline_s is None else time.monotonic() + deadline_s
    while not select.select([sync], [], [], POLL_S)[0]:
        look()
        if end is not None and time.monotonic() > end:
            raise RuntimeFailed(f"{runtime.name} did not answer for container {name} in time", status=-1)
    answer = read_answer(sync)
    if answer is None or answer[0] <= 0:
        raise runtime_failed(runtime.name, files.read(log) or "", answer[1] if answer else "")
    return answer[0]


def runtime_failed(name: str, log: str, message: str) -> RuntimeFailed:
    """The runtime's own words: the last error of its JSON log, else what conmon caught of its stderr."""
    said = message.strip()
    for line in reversed(log.splitlines()):
        with suppress(jsonio.JsonInvalid):
            entry = jsonio.loads(line)
            if entry.get("level", "error") in ("error", "fatal") and entry.get("msg"):
                said = str(entry["msg"])
                break
    said = " ".join(said.split()) or "it did not say why"
    return RuntimeFailed(f"{name} failed: {said}", status=1, code=exec_code(said))
