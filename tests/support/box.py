"""A pyodcr root of its own for one test, driven through the command line, and a search for what it left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pyodcr.lifecycle.db import Database
from pyodcr.linux import cgroups, mounts, processes

# a fixture counts instead of sleeping: a dump interrupts nanosleep, and `sleep 1000` ends
COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /tmp/n; echo $i; sleep 0.05; done"
HIERARCHIES = Path("/sys/fs/cgroup")
RUNTIMES_STATE = (Path("/run/runc"), Path("/run/crun"))
WAIT_S = 60.0  # for a machine that is busy with other things; nothing waits as long as it may


def busybox_tree(directory: Path) -> Path:
    """A root filesystem with busybox, users and the directories that mounts need."""
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var", "root", "data", "home/app"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", directory / "bin/busybox")
    for applet in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    (directory / "tmp").chmod(0o1777)
    return directory


@dataclass(slots=True)
class Box:
    """``run`` is ``pyodcr --root ... --runroot ...``; ``prefix`` enters another host first."""

    root: Path
    runroot: Path
    env: dict[str, str] = field(default_factory=dict)
    runtime: str = ""
    prefix: tuple[str, ...] = ()
    trusting: bool = True  # archives are the tests' own, and most of their containers run on a tree of the host

    def argv(self, *words: str | Path) -> list[str]:
        base = [*self.prefix, sys.executable, "-m", "pyodcr", "--root", str(self.root), "--runroot", str(self.runroot)]
        if self.runtime:
            base += ["--runtime", self.runtime]
        if self.trusting and words[:1] == ("restore",) and {"-i", "--import"} & set(words):
            words = ("restore", "--trust", *words[1:])
        return [*base, *map(str, words)]

    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.env}

    def call(
        self, *words: str | Path, stdin: bytes | None = None, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.argv(*words), input=stdin, capture_output=True, env=self.environ(), timeout=timeout_s, check=False
        )

    def run(self, *words: str | Path, stdin: bytes | None = None) -> str:
        """The output of a command that must succeed."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == 0, f"pyodcr {' '.join(map(str, words))}: {done.returncode}\n{done.stderr.decode()}"
        return done.stdout.decode().strip()

    def fail(
        self, *words: str | Path, status: int = 125, code: str = "", stdin: bytes | None = None
    ) -> Mapping[str, Any]:
        """The error of a command that must fail with ``status`` (and ``code``): one object on standard error."""
        before = self.env.get("PYODCR_ERROR_FORMAT")
        self.env["PYODCR_ERROR_FORMAT"] = "json"
        done = self.call(*words, stdin=stdin)
        if before is None:
            del self.env["PYODCR_ERROR_FORMAT"]
        said = done.stderr.decode()
        assert done.returncode == status, f"pyodcr {' '.join(map(str, words))}: {done.returncode} {said}"
        assert "Traceback" not in said, said
        lines = [line for line in said.splitlines() if line.startswith("{")]
        assert lines, f"no error was printed: {said!r}"
        error: Mapping[str, Any] = json.loads(lines[-1])
        if code:
            assert error["code"] == code, error
        return error

    def popen(self, *words: str | Path, **how: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), env=self.environ(), **how)

    def inspect(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.run("inspect", name))
        return found[0]

    def state(self, name: str) -> str:
        return str(self.inspect(name)["State"]["Status"])

    def count(self, name: str) -> int:
        """How far a :data:`COUNTER` is; waits for its first step."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            text = self.call("exec", name, "cat", "/tmp/n").stdout.decode().strip()
            if text.isdigit():
                return int(text)
            time.sleep(0.05)
        raise AssertionError(f"{name} does not count")

    def counts_on(self, name: str, *, above: int = 0) -> int:
        """Assert that a counter moves and is beyond ``above``; returns where it is."""
        first = self.count(name)
        second: int = wait_for(lambda: (now := self.count(name)) > first and now, f"{name} to count on")
        assert second > above, f"{name} counts from {second} instead of beyond {above}: it was started anew"
        return second

    def containers(self) -> list[str]:
        return self.run("ps", "-aq", "--no-trunc").split()

    def recorded(self) -> list[str]:
        """The containers in the database, without the cost of a command."""
        path = self.root / "state.sqlite"
        if not path.exists():
            return []
        with closing(Database(path)) as database:
            return [container.id for container in database.containers()]

    def clean(self) -> None:
        self.run("rm", "--all", "--force", "--time", "0", "--volumes")


@contextmanager
def fresh_box(runtime: str = "") -> Iterator[Box]:
    """A root of its own. At the end its containers are removed; what that leaves is an error, and goes all the same."""
    root = Path(tempfile.mkdtemp(dir="/var/lib/pyodcr", prefix="box-"))
    runroot = Path(tempfile.mkdtemp(dir="/run", prefix="box-"))
    box = Box(root, runroot, runtime=runtime)
    try:
        yield box
        if box.recorded():
            box.clean()
        assert not box.recorded()
        wait_for(lambda: not files_left(box), f"files to be removed: {files_left(box)}", 5.0)
    except BaseException:
        power_off(box)  # what hangs here would be found again after each test to come
        raise
    finally:
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(runroot, ignore_errors=True)


def power_off(box: Box) -> None:
    """No process, cgroup or mount of ``box`` is left; nobody is asked, and nothing is recorded."""
    ids = [path.name for path in (box.root / "containers").glob("*")]
    wait_for(lambda: not _kill_all(box), "its processes to die")
    for identity in ids:
        assert cgroups.kill(f"/pyodcr/{identity}")
        cgroups.remove(f"/pyodcr/{identity}")
        for directory in RUNTIMES_STATE:
            mounts.unmount_below(directory / identity)
            shutil.rmtree(directory / identity, ignore_errors=True)
    for directory in (box.root, box.runroot):
        mounts.unmount_below(directory)
    for directory in Path("/tmp").glob(".criu.mntns.*"):  # of a CRIU that was killed
        mounts.unmount_below(directory)
        directory.rmdir()


def _kill_all(box: Box) -> list[int]:
    """Pyodcr, conmon and the name server are given paths of the root; all the others are their descendants."""
    found = list(_processes_of(box))
    processes.kill_families(found)
    return found


def _processes_of(box: Box) -> Iterator[int]:
    for pid in processes.pids():
        line = " ".join(processes.arguments(pid))
        if pid != os.getpid() and (str(box.root) in line or str(box.runroot) in line):
            yield pid


def wait_for(probe: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """Poll until ``probe`` gives something true, and return it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s} s in vain for {what}")


class Process(NamedTuple):
    """``started``, in clock ticks since boot, tells it from others that are given its number."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Facts:
    parent: int
    line: str


@dataclass(frozen=True, slots=True)
class Traces:
    """What a test can leave on a host."""

    mounts: frozenset[str]
    processes: Mapping[Process, Facts]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    rules: frozenset[str]
    descriptors: frozenset[int]


def traces() -> Traces:
    return Traces(
        mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        processes=_processes(),
        cgroups=frozenset(
            str(path) for path in HIERARCHIES.glob("*/pyodcr/*") if path.name != "conmon" and path.is_dir()
        ),
        interfaces=frozenset(os.listdir("/sys/class/net")),
        rules=frozenset(_rules()),
        descriptors=frozenset(int(name) for name in os.listdir("/proc/self/fd")),
    )


def _rules() -> Iterator[str]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    yield from (line for line in listed.splitlines() if "CRIU" in line)


def _processes() -> Mapping[Process, Facts]:
    """All but this one and init, whose children are nobody's: init adopts what is left behind."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                fields = (entry / "stat").read_text().rpartition(")")[2].split()  # from the third on, proc_pid_stat(5)
            except OSError:
                continue
            if line and fields[0] != "Z":
                found[Process(int(entry.name), int(fields[19]))] = Facts(int(fields[1]), line)
    return found


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """Fail if anything of :class:`Traces` is there after the block that was not there before.

    Ends take a moment (conmon's exit command, a lazy unmount), so it looks several times.
    """
    before = traces()
    yield
    deadline = time.monotonic() + WAIT_S
    while left := _new(before, traces()):
        if time.monotonic() > deadline:
            raise AssertionError("left behind: " + "; ".join(left))
        time.sleep(0.1)


def _new(before: Traces, after: Traces) -> list[str]:
    left = [f"mount {name}" for name in sorted(after.mounts - before.mounts)]
    left += _new_processes(before.processes, after.processes)
    left += [f"cgroup {name}" for name in sorted(after.cgroups - before.cgroups)]
    left += [f"interface {name}" for name in sorted(after.interfaces - before.interfaces)]
    left += [f"packet rule {name}" for name in sorted(after.rules - before.rules)]
    if len(after.descriptors) > len(before.descriptors):
        left.append(f"descriptors {sorted(after.descriptors - before.descriptors)}")
    return left


def _new_processes(before: Mapping[Process, Facts], after: Mapping[Process, Facts]) -> Iterator[str]:
    """What an older container or server starts all the time is that one's own."""
    known = {process.pid: process for process in after}
    for process, facts in after.items():
        ancestor: Process | None = process
        while ancestor and ancestor not in before:
            ancestor = known.get(after[ancestor].parent)
        if not ancestor:
            yield f"process {process.pid}: {facts.line}"


def files_left(box: Box) -> list[str]:
    """Files of containers and operations that no container needs any more."""
    places = ("containers", "staging")
    runs = ("containers", "netns", "persist", "hooks")
    found = [path for name in places for path in (box.root / name).glob("*")]
    found += [path for name in runs for path in (box.runroot / name).glob("*")]
    return [str(path) for path in found]
