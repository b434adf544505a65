"""A second host for a test: its own root, network, processes and cgroups, one command away.

with second_host() as b:
    b.run(["pyodcr", "restore", "--import", "/shared/c.tar.zst"])
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TESTHOST = Path(__file__).resolve().parents[2] / "tools/testhost"
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Host:
    """A host beside the one the tests run in.

    `pid` is its init as seen from here, `address` its own, and `near_address` is where it reaches this host.
    """

    name: str
    pid: int
    address: str
    near_address: str
    cgroup_procs: tuple[str, ...]

    def path(self, path: str | Path) -> Path:
        """Where an absolute path of that host is seen from this one."""
        return Path(f"/proc/{self.pid}/root", Path(path).relative_to("/"))

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """The command that runs `argv` there, in /src: nsenter joins namespaces, but not cgroups."""
        join = ["sh", "-ec", _JOIN, "join-host", *self.cgroup_procs, "--"]
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return [*join, *enter, "--root", "--wdns=/src", "--", *map(str, argv)]

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end and capture its output. With `check` a failure shows what it said."""
        done = subprocess.run(
            self.argv(argv),
            capture_output=True,
            text=True,
            input=stdin,
            env={**os.environ, **(env or {})},
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"on {self.name}: {argv} exited {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command there; `options` are those of subprocess.Popen."""
        return subprocess.Popen(self.argv(argv), **options)


@contextlib.contextmanager
def second_host(name: str = "hostb", *, address: str = "10.99.0.2/24") -> Iterator[Host]:
    """Start another host; it ends with the context, or with this process however that dies."""
    argv = [str(TESTHOST), "second", f"--name={name}", f"--address={address}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said: IO[str] | None = process.stdout
        assert said is not None
        line = said.readline()
        if not line:
            raise RuntimeError(f"host {name} did not start: exit status {process.wait()}")
        facts = json.loads(line)
        yield Host(name, facts["pid"], address.split("/")[0], facts["near"], tuple(facts["cgroup_procs"]))
    # Leaving Popen's context closes its standard input, which ends the host, and waits for it.
