"""The test host keeps what docs/testing.md promises: the tests that stand on it need it to."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from tests.support.hosts import TESTHOST, second_host

pytestmark = pytest.mark.root


def test_criu_fits_the_kernel() -> None:
    done = subprocess.run(["criu", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", ["/var/lib/pyodcr", "/var/lib/containers", "/var/tmp"])
def test_overlays_can_be_made_where_containers_live(place: str) -> None:
    with tempfile.TemporaryDirectory(dir=place) as name:
        base = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (base / part).mkdir()
        options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", base / "merged"], check=True)
        (base / "merged/file").touch()
        subprocess.run(["umount", base / "merged"], check=True)
        assert (base / "upper/file").exists()


def test_the_second_host_has_everything_of_its_own() -> None:
    with second_host("hostb") as b:
        for path in ("/run", "/tmp", "/var/lib/pyodcr", "/var/lib/containers", "/etc"):
            b.run(["touch", f"{path}/only-there"])
            assert b.path(f"{path}/only-there").exists()
            assert not Path(path, "only-there").exists()
        assert b.run(["hostname"]).stdout == "hostb\n"
        assert "0:" in b.run(["cat", "/proc/self/cgroup"]).stdout
        assert "/.." not in b.run(["cat", "/proc/self/cgroup"]).stdout, "its processes are outside of its cgroups"
        for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
            assert os.readlink(f"/proc/{b.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_the_hosts_share_a_directory_and_a_network() -> None:
    with second_host("hostb", address="10.77.0.9/24") as b:
        Path("/shared/note").write_text("hello")
        assert b.run(["cat", "/shared/note"]).stdout == "hello"
        with socket.create_server((b.near_address, 0)) as server:
            server.settimeout(30)
            port = server.getsockname()[1]
            received: list[bytes] = []

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    received.append(connection.recv(100))

            thread = threading.Thread(target=serve)
            thread.start()
            b.run(["busybox", "nc", "-w", "5", b.near_address, str(port)], stdin="over the wire")
            thread.join()
        assert received == [b"over the wire"]


def test_nothing_of_a_second_host_remains() -> None:
    def traces() -> list[str]:
        links = [name for _, name in socket.if_nameindex() if name.startswith("to-")]
        cgroups = [str(path) for path in Path("/sys/fs/cgroup").rglob("pyodcr-testhost-*") if path.is_dir()]
        return [*links, *cgroups, *(path.name for path in Path("/.hosts").iterdir())]

    with second_host("hostc") as c:
        daemon = c.popen(["setsid", "sleep", "600"])
        assert traces()
    assert traces() == []
    assert daemon.wait(timeout=30) != 0


def test_status_of_the_command_is_passed_on() -> None:
    for code in (0, 3, 125):
        done = subprocess.run([TESTHOST, "second", "--", "sh", "-c", f"exit {code}"], stdin=subprocess.DEVNULL)
        assert done.returncode == code
    done = subprocess.run([TESTHOST, "second", "--", "sh", "-c", "kill -KILL $$"], stdin=subprocess.DEVNULL)
    assert done.returncode == 128 + 9
    missing = subprocess.run([TESTHOST, "second", "--", "no-such-command"], capture_output=True, text=True)
    assert (missing.returncode, missing.stderr) == (127, "testhost: no-such-command: No such file or directory\n")


@pytest.mark.parametrize("address", ["10.1.1.1/32", "10.1.1.1", "nowhere", "fe80::1/64"])
def test_a_bad_address_is_one_line(address: str) -> None:
    done = subprocess.run([TESTHOST, "second", f"--address={address}", "true"], capture_output=True, text=True)
    assert done.returncode == 125
    assert done.stderr.startswith(f"testhost: {address} ")
    assert done.stderr.count("\n") == 1


def test_a_host_of_its_own_has_a_leaf_of_its_own() -> None:
    """Containers restored there would lie below it else, be taken into the next dump, and double at each restore."""
    argv: list[str | Path] = [TESTHOST, "second", "--name=leaf", "--alone", "--", "cat", "/proc/self/cgroup"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "0::/init" in said.splitlines()
    routes = subprocess.run([*argv[:-2], "ip", "route"], capture_output=True, text=True, check=True).stdout
    assert routes == ""
