"""A real sshd for tests, with keys made for it, and the ssh_config that leads there.

with serve(tmp_path) as server:
    server.config             # an ssh_config: the host is called `far` in it
    server.sessions()         # the sshd processes of those that are logged in
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pyodcr.linux import processes
from tests.support.hosts import Host

ALIAS = "far"
_SSHD = "/usr/sbin/sshd"
_START_TIMEOUT_S = 20.0


class SshServer:
    """``root`` is seen by both ends. It can be killed, with everybody who is logged in, and started again."""

    def __init__(self, root: Path, host: Host | None, environment: Mapping[str, str], options: Sequence[str]) -> None:
        self.root = root
        self.config = root / "ssh_config"
        self.address = host.address if host else "127.0.0.1"
        self.port = 0
        self._popen: Callable[..., subprocess.Popen[bytes]] = host.popen if host else subprocess.Popen
        self._argv: list[str] = []
        self._running = ExitStack()
        self._extra = [f"SetEnv {name}={value}" for name, value in environment.items()] + list(options)
        for name in ("host", "user"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", root / name)

    def start(self) -> None:
        self.port = self.port or _free_port(self.address if self.address == "127.0.0.1" else "0.0.0.0")
        self._write()
        log = self._running.enter_context((self.root / "sshd.log").open("ab"))
        # sshd wants this directory, which the service's unit makes elsewhere
        start = f"mkdir -p -m 755 /run/sshd; exec {_SSHD} -D -e -f '{self.root}/sshd_config'"
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        self._child = self._popen(["sh", "-c", start], **how)
        self._wait()

    def kill(self, *, programs: bool = False) -> None:
        """Without warning. What those who were logged in have started sees the end of its connection, or dies, too."""
        for pid in processes.descendants([self._child.pid]) if programs else self._all():
            _signal(pid, signal.SIGKILL)
        self._child.wait()
        self._running.close()

    def sessions(self) -> list[int]:
        """The sshd processes that hold connections."""
        return [pid for pid in self._all() if "sshd-session" in " ".join(processes.arguments(pid))]

    def programs(self, word: str) -> list[int]:
        """The processes of those who are logged in that were given ``word``."""
        return [pid for pid in processes.descendants([self._child.pid]) if word in processes.arguments(pid)]

    def stop_sessions(self) -> list[int]:
        """They are there, and do nothing any more; the programs that they run go on."""
        found = self.sessions()
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        return found

    def _all(self) -> list[int]:
        children = processes.descendants([self._child.pid])
        return [pid for pid in (*children, self._child.pid) if "sshd" in " ".join(processes.arguments(pid))[:200]]

    def _write(self) -> None:
        (self.root / "authorized").write_bytes((self.root / "user.pub").read_bytes())
        settings = [
            *self._extra,
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {self.root}/host",
            f"AuthorizedKeysFile {self.root}/authorized",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "PerSourcePenalties no",
            "UsePAM no",
            "StrictModes no",
            "PidFile none",
        ]
        (self.root / "sshd_config").write_text("\n".join(settings) + "\n")
        key = (self.root / "host.pub").read_text()
        (self.root / "known_hosts").write_text(f"[{self.address}]:{self.port} {key}")
        login = [
            f"Host {ALIAS}",
            f"HostName {self.address}",
            f"Port {self.port}",
            "User root",
            f"IdentityFile {self.root}/user",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            f"UserKnownHostsFile {self.root}/known_hosts",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
        ]
        self.config.write_text("\n".join(login) + "\n")

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._child.poll() is None:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"sshd did not start: {(self.root / 'sshd.log').read_text()}")


@contextmanager
def serve(
    root: Path, host: Host | None = None, *, environment: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Iterator[SshServer]:
    """On ``host``, or here; ``environment`` is that of the sessions, ``options`` are lines of sshd_config."""
    server = SshServer(root, host, environment or {}, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _run(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True, stdin=subprocess.DEVNULL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
