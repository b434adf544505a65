"""netavark, the program that makes bridges, veths, addresses, firewall rules and DNS entries.

It is told everything on standard input and keeps no state of its own but its firewall's and aardvark-dns'
files in RUNROOT/network. It answers with the status of each network, or with ``{"error": "..."}``.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pyodcr import jsonio, process
from pyodcr.config import NetworkConfig
from pyodcr.errors import NetworkFailed, ToolNotFound
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.network.ledger import Request
from pyodcr.lifecycle.paths import Paths
from pyodcr.linux import files, flock

# where distributions put what no user calls (containers.conf, helper_binaries_dir)
HELPER_DIRECTORIES = (
    Path("/usr/local/libexec/podman"),
    Path("/usr/local/lib/podman"),
    Path("/usr/libexec/podman"),
    Path("/usr/lib/podman"),
)
# Podman serialises all netavark calls of a host with this one. The firewall's tables are shared with it, and
# netavark reads and then changes them, so we take the same lock (fcntl's kind, as containers/storage).
HOST_LOCK = Path("/run/lock/netavark.lock")
TIMEOUT_S = 120


def find_helper(name: str) -> Path | None:
    for directory in HELPER_DIRECTORIES:
        if os.access(directory / name, os.X_OK):
            return directory / name
    return process.which(name)


class Netavark:
    def __init__(self, paths: Paths, config: NetworkConfig) -> None:
        self._state = paths.netavark
        self._firewall_driver = config.firewall_driver

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One at a time changes the networks of a host. Taken for as long as netavark runs, not longer."""
        files.make_directory(self._state)
        files.make_directory(HOST_LOCK.parent, mode=0o755)
        with flock.exclusive(self._state / "lock"):  # fcntl locks do not keep threads of one process apart
            fd = os.open(HOST_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)

    def require(self) -> Path:
        """The program; raises :class:`ToolNotFound`."""
        program = find_helper("netavark")
        if program is None:
            raise ToolNotFound(
                "netavark is not installed",
                hint="install the package netavark, or use --network none or host",
                tool="netavark",
            )
        return program

    @property
    def has_dns(self) -> bool:
        """Whether containers can be found by name; without aardvark-dns a network works, but knows no names."""
        return find_helper("aardvark-dns") is not None

    def setup(self, netns: Path, request: Request) -> JsonObject:
        """Join the namespace to the networks; returns network -> status block. Raises :class:`NetworkFailed`.

        A failed set-up may leave parts behind: follow it by :meth:`teardown`.
        """
        answer = self._call("setup", netns, request)
        missing = sorted(set(request.networks) - set(answer))
        if missing:
            raise NetworkFailed(f"netavark set up no network {', '.join(missing)}", status=0)
        return answer

    def teardown(self, netns: Path, request: Request) -> None:
        """Undo :meth:`setup`; raises :class:`NetworkFailed` where an interface or rule of it was not there."""
        found = {
            name: replace(network, dns_enabled=network.dns_enabled and self._is_named(name, request.container_id))
            for name, network in request.definitions.items()
        }
        self._call("teardown", netns, replace(request, definitions=found))

    def _is_named(self, network: str, container_id: str) -> bool:
        """Whether aardvark-dns' file of the network, NAME or NAME%int, holds a line of the container."""
        texts = (files.read(self._state / "aardvark-dns" / name) for name in (network, f"{network}%int"))
        return any(container_id in text for text in texts if text)

    def _call(self, verb: str, netns: Path, request: Request) -> JsonObject:
        aardvark = find_helper("aardvark-dns")
        argv: list[str | Path] = [self.require(), "--config", self._state, "--rootless", "false"]
        argv += ["--aardvark-binary", aardvark] if aardvark else []
        result = process.run(
            [*argv, verb, netns],
            env={"NETAVARK_FW": self._firewall_driver} if self._firewall_driver else None,
            stdin=jsonio.dumps(jsonio.encode(request)).encode(),
            check=False,
            timeout_s=TIMEOUT_S,
            failure=NetworkFailed,
        )
        if result.status != 0:
            raise NetworkFailed(
                f"netavark: {_said(result)}", status=result.status, stderr=result.stderr, container=request.container_id
            )
        try:
            return jsonio.loads(result.stdout or "{}")
        except jsonio.JsonInvalid as error:
            raise NetworkFailed(f"netavark gave an answer that cannot be read: {error}", status=0) from error


def _said(result: process.Result) -> str:
    """The error as netavark words it, on one line."""
    try:
        text = str(jsonio.loads(result.stdout)["error"])
    except (jsonio.JsonInvalid, KeyError):
        text = result.stderr.strip() or f"ended with status {result.status}"
    return " ".join(text.split())
