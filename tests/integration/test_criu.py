"""Real CRIU: its answers, its images, and the logs of dumps that it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyodcr.checkpoint import criu, criulog, observe
from pyodcr.checkpoint.criu import DumpStats, NetworkLock
from pyodcr.checkpoint.preflight import Severity, problems
from pyodcr.config import Config
from pyodcr.errors import CriuFailed, ToolNotFound
from pyodcr.lifecycle import probe

pytestmark = pytest.mark.root

TCP = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
"""
LOCK = """
import fcntl
file = open("locked", "w")
fcntl.flock(file, fcntl.LOCK_EX)
"""
IO_URING = """
import ctypes
assert ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) >= 0
"""
MPTCP = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
server.listen()
"""
IN_FLIGHT = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
client.setblocking(False)
client.connect_ex(server.getsockname())
"""
GHOST = """
import os
file = open("ghost", "wb")
file.write(bytes(4 << 20))
file.flush()
os.unlink("ghost")
"""


@contextmanager
def dumpable(script: str, directory: Path) -> Iterator[int]:
    """A process of its own session that has run ``script`` in ``directory`` and counts on, as CRIU likes it."""
    program = f"{script}\nimport os, time\nos.write(1, b'ready\\n')\nos.dup2(0, 1)\nwhile True: time.sleep(0.05)"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=directory,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.read() == b"ready\n"
            yield child.pid
        finally:
            child.kill()


def dump(pid: int, images: Path, *options: str) -> subprocess.CompletedProcess[str]:
    images.mkdir()
    return subprocess.run(
        ["criu", "dump", f"--tree={pid}", f"--images-dir={images}", "--log-file=dump.log", "-v4", *options],
        capture_output=True,
        text=True,
    )


def test_the_version_is_what_the_program_says() -> None:
    said = subprocess.run(["criu", "--version"], capture_output=True, text=True, check=True).stdout
    assert f"Version: {criu.version()}\n" in said


def test_the_kernel_passes_the_check() -> None:
    assert criu.check() is None


def test_features_are_those_of_the_program() -> None:
    features = criu.feature_check()

    def has(name: str) -> bool:
        return subprocess.run(["criu", "check", "--feature", name], capture_output=True).returncode == 0

    assert features.mem_track == has("mem_dirty_track")
    assert features.lazy_pages == has("uffd-noncoop")
    assert features.pidfd_store == has("pidfd_store")


def test_asking_leaves_no_process_and_no_descriptor() -> None:
    def held() -> tuple[list[str], str]:
        return sorted(os.listdir("/proc/self/fd")), Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    criu.feature_check()
    before = held()
    criu.feature_check()
    assert held() == before


def in_python(program: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter: pycriu is loaded once in a process."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "/src", **env}
    )


FEATURES = "from pyodcr.checkpoint import criu; import sys; print(criu.feature_check()); print(sys.path)"


def test_pycriu_is_found_where_the_variable_says_and_stays_off_the_path() -> None:
    done = in_python(FEATURES, PYODCR_PYCRIU="/usr/lib/python3/dist-packages")
    assert done.returncode == 0, done.stderr
    assert "Features(" in done.stdout
    assert "dist-packages/pycriu" not in done.stdout


def test_pycriu_is_found_in_the_distributions_directory() -> None:
    hide = "import sys; sys.path = [p for p in sys.path if 'dist-packages' not in p]; sys.modules['pycriu'] = None; "
    done = in_python(hide + FEATURES)
    assert done.returncode == 0, done.stderr
    assert "Features(" in done.stdout


def test_without_pycriu_the_error_tells_the_package(tmp_path: Path) -> None:
    program = (
        "from pyodcr.checkpoint import criu\nfrom pyodcr.errors import ToolNotFound\n"
        "try: criu.check()\nexcept ToolNotFound as error: print(error.code, error.hint)\n"
        "print(criu.version())"
    )
    done = in_python(program, PYODCR_PYCRIU=str(tmp_path))
    assert done.stdout.startswith("pycriu-missing install python3-pycriu"), done.stderr
    assert done.stdout.endswith(f"{criu.version()}\n")


def test_a_criu_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "criu"
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CriuFailed) as caught:
        criu.feature_check()
    assert caught.value.code == "criu-rpc"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    with dumpable("", tmp_path) as pid:
        done = dump(pid, tmp_path / "images", "--leave-running", "--network-lock=nftables")
        assert done.returncode == 0, (tmp_path / "images/dump.log").read_text()
    return tmp_path / "images"


def test_the_statistics_of_a_dump_are_read_and_written_byte_by_byte(images: Path, tmp_path: Path) -> None:
    stats = criu.read_stats_dump(images / "stats-dump")
    assert stats.pages_written > 0
    assert stats.frozen_time_us > 0
    assert stats.pages_scanned >= stats.pages_written
    (tmp_path / "stats-dump").write_bytes(criu.stats_dump(stats))
    assert (tmp_path / "stats-dump").read_bytes() == (images / "stats-dump").read_bytes()


def test_checkpointctl_reads_the_statistics_that_we_write(tmp_path: Path) -> None:
    (tmp_path / "stats-dump").write_bytes(
        criu.stats_dump(DumpStats(freezing_time_us=101, pages_scanned=61, pages_written=7))
    )
    config = {"id": "a" * 64, "name": "web", "runtime": "crun", "rootfsImageName": "web"}
    spec = {"ociVersion": "1.0.2", "annotations": {"io.container.manager": "libpod"}, "process": {}}
    (tmp_path / "config.dump").write_text(json.dumps(config))
    (tmp_path / "spec.dump").write_text(json.dumps(spec))
    (tmp_path / "checkpoint").mkdir()
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "c.tar", "--exclude=c.tar", "."], check=True)
    done = subprocess.run(["checkpointctl", "inspect", "--stats", tmp_path / "c.tar"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in ("Freezing time: 101 µs", "Pages scanned: 61", "Pages written: 7"):
        assert line in done.stdout


def test_the_inventory_of_a_dump(images: Path) -> None:
    found = criu.inventory(images / "inventory.img")
    assert found.image_version == 2
    assert found.network_lock is NetworkLock.NFTABLES
    assert found.criu_run_id


def test_the_statistics_of_a_restore(tmp_path: Path) -> None:
    images = tmp_path / "images"
    with dumpable("", tmp_path) as pid:
        assert dump(pid, images).returncode == 0
    subprocess.run(
        ["criu", "restore", f"--images-dir={images}", "--restore-detached", f"--pidfile={tmp_path}/pid"], check=True
    )
    os.kill(int((tmp_path / "pid").read_text()), 9)
    stats = criu.read_stats_restore(images / "stats-restore")
    assert stats.restore_time_us > 0
    assert stats.pages_restored > 0


@pytest.mark.parametrize(
    ("script", "code", "severity"),
    [
        (TCP, "criu-tcp-established", Severity.ERROR),
        (LOCK, "criu-file-locks", Severity.ERROR),
        (IO_URING, "criu-io-uring", Severity.ERROR),
        (MPTCP, "criu-mptcp", Severity.ERROR),
        (IN_FLIGHT, "criu-tcp-in-flight", Severity.WARNING),
        (GHOST, "criu-ghost-file", None),
    ],
    ids=["tcp", "lock", "io_uring", "mptcp", "in-flight", "ghost"],
)
def test_what_criu_refuses_is_foreseen_and_explained(
    tmp_path: Path, script: str, code: str, severity: Severity | None
) -> None:
    with dumpable(script, tmp_path) as pid:
        facts = observe.observe(
            init=pid,
            pids=[pid],
            runtime=probe.default_runtime(Config(runroot=tmp_path / "run")),
            staging=tmp_path,
            hook_directory=tmp_path,
            tcp_established=False,
            file_locks=False,
        )
        foreseen = {problem.code: problem.severity for problem in problems(facts)}
        done = dump(pid, tmp_path / "images")
        assert done.returncode != 0
        os.kill(pid, 0)  # a refused dump lets it run on
    found = criulog.diagnose(tmp_path / "images" / "dump.log")
    assert (found.code, bool(found.hint)) == (code, True), found.lines
    assert foreseen.get(code) is severity
    if severity is not Severity.WARNING:
        assert set(foreseen) <= {code}


def test_a_missing_action_script_is_explained(tmp_path: Path) -> None:
    with dumpable("", tmp_path) as pid:
        assert dump(pid, tmp_path / "images", f"--action-script={tmp_path}/none").returncode != 0
    assert criulog.diagnose(tmp_path / "images" / "dump.log").code == "criu-hook-refused"


def test_a_process_id_in_use_is_explained(tmp_path: Path) -> None:
    with dumpable("", tmp_path) as pid:
        assert dump(pid, tmp_path / "images", "--leave-running").returncode == 0
        done = subprocess.run(
            ["criu", "restore", f"--images-dir={tmp_path}/images", "--log-file=restore.log", "-v4"], capture_output=True
        )
    assert done.returncode != 0
    found = criulog.diagnose(tmp_path / "images" / "restore.log")
    assert (found.code, found.cause) == ("criu-pid-in-use", f"process ID {pid} is taken")


def test_a_damaged_image_is_explained(tmp_path: Path) -> None:
    with dumpable("", tmp_path) as pid:
        assert dump(pid, tmp_path / "images").returncode == 0
    (tmp_path / "images" / "pstree.img").write_bytes(b"not an image")
    subprocess.run(
        ["criu", "restore", f"--images-dir={tmp_path}/images", "--log-file=restore.log", "-v4"], capture_output=True
    )
    found = criulog.diagnose(tmp_path / "images" / "restore.log")
    assert found.code == "criu-images"
    assert "pstree" in found.cause


def test_no_criu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyodcr.process.which", lambda name: None)
    with pytest.raises(ToolNotFound) as caught:
        criu.version()
    assert caught.value.hint == criu.INSTALL_HINT
