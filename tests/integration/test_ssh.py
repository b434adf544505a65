"""Checkpoints that go to another host by ssh and come back, and what is left on either when that fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyodcr.lifecycle.operations import Stage
from tests.contract.places import configured, files, ssh_settings
from tests.support.box import Box, files_left, wait_for
from tests.support.checkpoints import Counter, assert_undisturbed, at, kill, operations, start_counter, whole_box
from tests.support.hosts import Host, second_host
from tests.support.sshserver import ALIAS, SshServer, serve

pytestmark = pytest.mark.root

ARCHIVES = Path("/var/tmp/archives")  # of the other host
URL = f"ssh://{ALIAS}{ARCHIVES}/c.tar.zst"
NOISE_MIB = 32  # more than all buffers on the way hold
TIMEOUT_S = 2


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with second_host("hostb") as host:
        # it speaks before its own `cat` runs, which no test is to take for something left behind
        wait_for(lambda: "cat" in host.run(["ps", "-e", "-o", "comm="]).stdout.split(), "the other host to be up")
        host.run(["mkdir", ARCHIVES])
        yield host


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A directory that both hosts see."""
    directory = Path(tempfile.mkdtemp(dir="/shared"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def server(host: Host, shared: Path) -> Iterator[SshServer]:
    """An sshd on the other host, which our user's own ~/.ssh/config knows."""
    (shared / "sshd").mkdir()
    with serve(shared / "sshd", host) as server, users_config(f"Include {server.config}\n"):
        yield server


@contextmanager
def users_config(text: str) -> Iterator[None]:
    path = Path.home() / ".ssh/config"
    assert not path.exists(), "this is no test host"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


@pytest.fixture
def archives(host: Host, server: SshServer) -> Iterator[Path]:
    """Where the other host's archives lie, as seen from here."""
    seen = host.path(ARCHIVES)
    yield seen
    for name in files(seen):
        (seen / name).unlink()


@pytest.fixture(scope="module")
def home(server: SshServer, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    configuration = tmp_path_factory.mktemp("ssh") / "pyodcr.toml"
    configuration.write_text(f"[plugin.ssh]\ntimeout_s = {TIMEOUT_S}\n")
    with whole_box() as box:
        box.env["PYODCR_CONFIG"] = str(configuration)
        counter = start_counter(box, tree)
        # what no compression makes smaller
        box.run("exec", "c", "dd", "if=/dev/urandom", "of=/dev/shm/noise", "bs=1M", f"count={NOISE_MIB}")
        yield counter


@pytest.fixture
def survivor(home: Counter, archives: Path) -> Iterator[Counter]:
    """A counter that each test leaves counting on, with nothing of the test's checkpoint left on either host."""
    before = home.reading()
    yield home
    home.moves(above=before)
    assert_undisturbed(home)
    assert files(archives) == []


@contextmanager
def stuck(counter: Counter, server: SshServer) -> Iterator[subprocess.Popen[bytes]]:
    """A checkpoint that stands still: the other host's disk takes nothing any more. Afterwards it does again."""
    words = ("checkpoint", "-e", URL, counter.name)
    with counter.box.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
        writers: list[int] = []
        try:
            writers += wait_for(lambda: server.programs("bs=1M"), "the upload to begin")
            for pid in writers:
                os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: at(counter.box, Stage.HOLDING), "the checkpoint to be held")
            yield command
        finally:
            command.kill()
            for pid in writers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in writers), "the far side to end")


# --- there and back -----------------------------------------------------------------------------


@pytest.fixture
def a(make_box: Callable[[], Box], runtime: str, server: SshServer) -> Box:
    """Here; what it leaves behind is looked for after the other host's containers are gone."""
    made = make_box()
    made.runtime = runtime
    return made


@pytest.fixture
def b(host: Host, a: Box) -> Iterator[Box]:
    """The other host's pyodcr, which has never heard of ours."""
    root = Path(host.run(["mktemp", "-d", "/var/lib/pyodcr/box-XXXXXX"]).stdout.strip())
    runroot = Path(host.run(["mktemp", "-d", "/run/box-XXXXXX"]).stdout.strip())
    box = Box(root, runroot, runtime=a.runtime, prefix=tuple(host.argv([])))
    yield box
    seen = Box(host.path(root), host.path(runroot))
    box.clean()
    wait_for(lambda: not files_left(seen), "the other host's files to be removed", 5.0)
    host.run(["rm", "-rf", root, runroot])


@pytest.fixture
def common(shared: Path, tree: Path) -> Path:
    """A busybox root filesystem at the same path of both hosts."""
    place = shared / "tree"
    if not place.exists():
        shutil.copytree(tree, place, symlinks=True)
    return place


def test_to_another_host_and_restored_there(a: Box, b: Box, common: Path, archives: Path) -> None:
    counter = start_counter(a, common)
    reached = a.counts_on("c")
    a.run("checkpoint", "--export", URL, "c")
    assert files(archives) == ["c.tar.zst"]
    assert a.state("c") == "exited"
    a.run("rm", "c")
    assert b.run("restore", "--import", ARCHIVES / "c.tar.zst") == counter.id
    b.counts_on("c", above=reached)


def test_to_another_host_and_back(a: Box, common: Path, archives: Path) -> None:
    counter = start_counter(a, common)
    reached = counter.reading()
    a.run("checkpoint", "--export", URL, "c")
    a.run("restore", "c")  # it remembers where its archive is
    reached = counter.moves(above=reached)
    a.run("checkpoint", "--export", URL, "c")
    a.run("rm", "c")
    assert a.run("restore", "--import", URL) == counter.id
    counter.moves(above=reached)
    assert files(archives) == ["c.tar.zst"]


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        (f"ssh://{ALIAS}/no/such/c", "destination-not-found", "no such file or directory"),
        ("ssh://nobody-knows.invalid/c", "destination-unreachable", "the name of the host is unknown"),
        ("ssh://127.0.0.1:1/c", "destination-unreachable", "connection refused"),
        ("ssh://me:secret@far/c", "usage", "no password"),
    ],
)
def test_no_way_to_the_file(survivor: Counter, url: str, code: str, says: str) -> None:
    log = survivor.bundle / "dump.log"
    log.unlink(missing_ok=True)
    error = survivor.box.fail("checkpoint", "-e", url, survivor.name, code=code)
    assert says in error["error"]
    assert error["hint"]
    assert "secret" not in str(error)
    assert not log.exists(), "CRIU was not even started"


def test_a_full_disk_there(survivor: Counter, host: Host) -> None:
    host.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", ARCHIVES])
    try:
        survivor.box.fail("checkpoint", "-e", URL, survivor.name, code="no-space")
        assert host.run(["ls", "-A", ARCHIVES]).stdout == ""
    finally:
        host.run(["umount", ARCHIVES])


def test_a_disk_that_hangs_there(survivor: Counter, server: SshServer) -> None:
    with stuck(survivor, server) as command:
        _, said = command.communicate(timeout=60)
    assert command.returncode == 125, said
    assert f"cannot write {URL}: the host was silent for {TIMEOUT_S} s" in said.decode()


def test_sshd_dies_in_the_middle(
    survivor: Counter, host: Host, shared: Path, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "own").mkdir()
    with serve(shared / "own", host) as server:
        own = configured(tmp_path, ssh_settings(server, timeout_s=TIMEOUT_S))
        monkeypatch.setitem(survivor.box.env, "PYODCR_CONFIG", str(own.file))
        with stuck(survivor, server) as command:
            server.kill()
            _, said = command.communicate(timeout=60)
        assert command.returncode == 125, said
        assert f"cannot write {URL}" in said.decode()
        assert "Traceback" not in said.decode()
        wait_for(lambda: not files(archives), "the far side to clean up by itself")
        server.start()
        survivor.box.run("system", "prune", "--force")
        survivor.box.run("checkpoint", "-R", "-e", URL, survivor.name)
        assert files(archives) == ["c.tar.zst"]
        (archives / "c.tar.zst").unlink()


def test_a_host_that_dies_in_the_middle(
    survivor: Counter, host: Host, shared: Path, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything that could have cleaned up on it."""
    (shared / "dying").mkdir()
    with serve(shared / "dying", host) as server:
        own = configured(tmp_path, ssh_settings(server, timeout_s=TIMEOUT_S))
        monkeypatch.setitem(survivor.box.env, "PYODCR_CONFIG", str(own.file))
        with stuck(survivor, server) as command:
            server.kill(programs=True)
            _, said = command.communicate(timeout=60)
        assert b"an unfinished upload" in said
        (unfinished,) = files(archives)
        assert unfinished in said.decode()
        survivor.box.run("system", "prune", "--force")
        assert files(archives) == [unfinished], "the host is still away"
        server.start()
        assert "unfinished upload" in survivor.box.run("system", "prune", "--force")
        assert files(archives) == []


def test_an_sshd_that_falls_asleep(survivor: Counter, server: SshServer) -> None:
    with stuck(survivor, server) as command:
        sleeping = server.stop_sessions()
        _, said = command.communicate(timeout=60)
        for pid in sleeping:
            os.kill(pid, signal.SIGCONT)
    assert command.returncode == 125, said
    assert f"cannot write {URL}" in said.decode()


def test_the_upload_of_the_killed_is_pruned(survivor: Counter, server: SshServer, archives: Path) -> None:
    box = survivor.box
    with stuck(survivor, server) as command:
        kill(box, command, guarded=False)
        (unfinished,) = files(archives)
        assert unfinished.startswith(".c.tar.zst.")
        box.run("system", "prune", "--force")
        assert files(archives) == []
        assert operations(box) == []


def test_the_guard_aborts_the_upload_of_the_killed(survivor: Counter, server: SshServer, archives: Path) -> None:
    with stuck(survivor, server) as command:
        kill(survivor.box, command, guarded=True)
        wait_for(lambda: not files(archives), "the guard to abort the upload")
        wait_for(lambda: not operations(survivor.box), "the guard to have done")
