"""Counting containers, checkpoints that stand still at a moment of choice, and what must be true afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyodcr.checkpoint import guard
from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.operations import Operation, Stage
from pyodcr.linux import cgroups, pidfd, processes
from tests.support.box import COUNTER, WAIT_S, Box, fresh_box, leaving_nothing, wait_for

HOOK_CLIENT = "hook_client.py"


@dataclass(frozen=True, slots=True)
class Counter:
    """A container that counts in a file of its root filesystem; it is read from outside, so looking costs nothing."""

    box: Box
    name: str
    id: str

    @property
    def bundle(self) -> Path:
        return self.box.root / "containers" / self.id

    @property
    def netns(self) -> Path:
        return self.box.runroot / "netns" / self.id

    def reading(self) -> int:
        """How far it is; waits for a number (it may be just writing one)."""
        return int(wait_for(self._digits, f"{self.name} to count"))

    def moves(self, *, above: int = 0) -> int:
        """Assert that it counts, and from beyond ``above``: it was not started anew. Returns where it is."""
        first = self.reading()
        second = wait_for(lambda: (now := self.reading()) > first and now, f"{self.name} to count on")
        assert second > above, f"{self.name} counts from {second} instead of beyond {above}"
        return int(second)

    def last(self) -> int:
        """Where it stopped: of one that does not run, and has nothing mounted."""
        return int((self.bundle / "layer/diff/tmp/n").read_text() or "0")

    def _digits(self) -> str:
        try:
            text = (self.bundle / "layer/merged/tmp/n").read_text().strip()
        except OSError:
            return ""
        return text if text.isdigit() else ""


PERL_COUNTER = """
$SIG{TERM} = sub { exit 0 };
for ($i = 1; ; $i++) { open(F, '>', '/tmp/n'); print F $i; close(F); select(undef, undef, undef, 0.05) }
"""


def perl_tree(tree: Path, directory: Path) -> Path:
    """A copy of the busybox tree with Debian's perl-base: programs of a few lines that know every system call."""
    copy = directory / "perl"
    shutil.copytree(tree, copy, symlinks=True)
    linked = subprocess.run(["ldd", "/usr/bin/perl"], capture_output=True, text=True, check=True).stdout
    libraries = [word for word in linked.split() if word.startswith("/")]
    modules = next(Path("/usr/lib").glob("*/perl-base"))
    for path in (Path("/usr/bin/perl"), modules, *map(Path, libraries)):
        place = copy / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place)
    return copy


def start_counter(box: Box, tree: Path, *options: str | Path, name: str = "c", script: str = COUNTER) -> Counter:
    """Run one on ``tree``, without a network unless ``options`` ask for one."""
    words = ("run", "-d", "--name", name, "--network", "none", *options, "--rootfs", f"{tree}:O", "sh", "-c", script)
    counter = Counter(box, name, box.run(*words))
    counter.reading()
    return counter


@contextmanager
def whole_box(runtime: str = "") -> Iterator[Box]:
    """A root that several tests share; at the end nothing of it may be left."""
    with leaving_nothing(), fresh_box(runtime) as box:
        yield box


def operations(box: Box) -> list[Operation]:
    """The open operations of a root, of the living and of the dead."""
    with closing(Database(box.root / "state.sqlite")) as database:
        return database.operations()


def assert_undisturbed(counter: Counter) -> None:
    """No operation, staging, hook, network lock or frozen cgroup is left of what a container went through."""
    box = counter.box
    assert operations(box) == []
    for places in (box.root / "staging", box.runroot / "hooks"):
        assert list(places.glob("*")) == []
    inside = ["nsenter", f"--net={counter.netns}"]
    for tool in (["iptables-save"], ["ip6tables-save"], ["nft", "list", "tables"]):
        said = subprocess.run([*inside, *tool], capture_output=True, text=True, check=True).stdout
        assert "CRIU" not in said, f"the network of {counter.name} is locked: {said}"
    assert not cgroups.is_frozen(f"/pyodcr/{counter.id}")


@dataclass(slots=True)
class Held:
    """A checkpoint that CRIU waits for at ``post-dump``: its processes, and the pipe it writes its archive to."""

    command: subprocess.Popen[bytes]
    criu: int
    fifo: int
    archive: bytes = b""

    @property
    def runtime(self) -> int:
        return child_of(self.command.pid, " checkpoint ")

    @property
    def hook(self) -> int:
        return int(wait_for(lambda: child_of(self.criu, HOOK_CLIENT), "CRIU's hook"))

    def ends(self) -> tuple[int, str]:
        """Read the archive to its end, then wait; the command's exit status and what it said."""
        os.set_blocking(self.fifo, True)
        reader = threading.Thread(target=self._read)
        reader.start()
        _, said = self.command.communicate(timeout=60)
        reader.join()
        return self.command.returncode, said.decode()

    def _read(self) -> None:
        pieces = []
        while piece := os.read(self.fifo, 1 << 20):
            pieces.append(piece)
        self.archive = b"".join(pieces)


@contextmanager
def held(counter: Counter, *options: str | Path) -> Iterator[Held]:
    """``checkpoint --export`` into a pipe that nobody reads: the container stands still until somebody does."""
    box = counter.box
    with fifo(box) as path:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        words = ("checkpoint", "-c", "none", "-e", path, *options, counter.name)
        with box.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
            try:
                operation = wait_for(lambda: at(box, Stage.HOLDING), "the checkpoint to be held")
                yield Held(command, operation.criu_pid, descriptor)
            finally:
                os.close(descriptor)
                command.kill()


@contextmanager
def fifo(box: Box) -> Iterator[Path]:
    path = box.root / "fifo"
    os.mkfifo(path)
    try:
        yield path
    finally:
        path.unlink()


def guard_of(operation: Operation) -> int:
    """The pid of the process that would recover it."""
    (pid,) = (pid for pid in processes.with_argument(operation.id) if guard.__file__ in processes.arguments(pid))
    return pid


def kill(box: Box, command: subprocess.Popen[bytes], *, guarded: bool) -> None:
    """SIGKILL the owner of the open operation; unless ``guarded`` its guard before."""
    if not guarded:
        for operation in operations(box):
            os.kill(guard_of(operation), signal.SIGKILL)
    command.kill()
    command.wait()


def at(box: Box, stage: Stage) -> Operation | None:
    """The operation that has come to ``stage``."""
    return next((operation for operation in operations(box) if operation.stage is stage), None)


def child_of(parent: int, word: str) -> int:
    """The child process of ``parent`` with ``word`` in its command line; 0 if there is none."""
    for pid, line in _children(parent):
        if word in line:
            return pid
    return 0


def _children(parent: int) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            yield int(entry.name), line


def until_dead(pid: int) -> None:
    """Return at the very moment, as far as one can."""
    assert pidfd.wait(pid, 0, WAIT_S), f"process {pid} lives on"


@contextmanager
def administrators_script(runtime: str, script: str) -> Iterator[Path]:
    """An action script in the runtime's own CRIU configuration: it runs at every stage, and may stop CRIU anywhere."""
    directory = Path("/etc/criu")
    configuration = directory / f"{runtime}.conf"
    assert not configuration.exists()
    directory.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        path = Path(place, "script")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        configuration.write_text(f"# the administrator's\naction-script {path}\n")
        try:
            yield path
        finally:
            configuration.unlink()


@contextmanager
def tampering(box: Box, script: str) -> Iterator[None]:
    """A runtime that runs a shell script before each checkpoint; ``$CRIU`` has the container's criu.conf and hook."""
    program = shutil.which(box.runtime)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        wrapper, configuration = Path(place, box.runtime), Path(place, "pyodcr.toml")
        criu = f"{box.root}/containers/*/criu"
        wrapper.write_text(
            f'#!/bin/sh\ncase " $* " in *" checkpoint --image-path "*) CRIU=$(echo {criu}); {script} ;; esac\n'
            f'exec {program} "$@"\n'
        )
        wrapper.chmod(0o700)
        configuration.write_text(f'[runtimes]\n{box.runtime} = "{wrapper}"\n')
        box.env["PYODCR_CONFIG"] = str(configuration)
        try:
            yield
        finally:
            del box.env["PYODCR_CONFIG"]


def in_parallel(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


@contextmanager
def blocked_dump(counter: Counter, *options: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A checkpoint whose CRIU has seized every process and dumped none; the command, and CRIU's pid."""
    block = 'test "$CRTOOLS_SCRIPT_ACTION" != network-lock || while test -e "$0"; do sleep 0.02; done'
    with administrators_script(counter.box.runtime, block) as script:
        words = ("checkpoint", *options, counter.name)
        with counter.box.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
            try:
                wait_for(lambda: _is_traced(counter), "CRIU to seize the container")
                (operation,) = operations(counter.box)
                yield command, operation.criu_pid
            finally:
                script.unlink()


def _is_traced(counter: Counter) -> bool:
    """By the counter's shell: its cgroup holds it and what it has started."""
    pids = cgroups.processes(f"/pyodcr/{counter.id}")
    return bool(pids) and all("\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text() for pid in pids)
