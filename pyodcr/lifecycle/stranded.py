"""A restore that nobody will ever finish, and of which nobody tells.

The processes that CRIU is making hold its end of the socket to the runtime. When CRIU is killed they wait for it for
ever, the runtime waits for its answer, and conmon for the runtime. When the runtime is killed, conmon waits for the
end of its standard error, which those processes hold too.
"""

from __future__ import annotations

from pyodcr.errors import CriuFailed, RuntimeFailed
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.linux import processes
from pyodcr.linux.processes import Process

PATIENCE_LOOKS = 3  # half a second apart: a process that has just ended is about to be noticed
RUNTIME_PATIENCE_LOOKS = 20


class Stranded:
    """To be called about twice a second while conmon's answer is awaited; raises when none will come."""

    def __init__(self, conmon: int, container: ContainerConfig) -> None:
        self._conmon = conmon
        self._container = container
        self._without_criu = 0
        self._without_runtime = 0

    def __call__(self) -> None:
        runtimes = [child.pid for child in processes.children(self._conmon) if self._restores(child)]
        dead = any(child.zombie and child.name == "criu" for pid in runtimes for child in processes.children(pid))
        self._without_criu = self._without_criu + 1 if dead else 0
        self._without_runtime = 0 if runtimes else self._without_runtime + 1
        if self._without_criu >= PATIENCE_LOOKS:
            raise CriuFailed(f"criu died while it restored container {self._container.name}", code="criu-died")
        if self._without_runtime >= RUNTIME_PATIENCE_LOOKS:
            raise RuntimeFailed(f"the runtime died while it restored container {self._container.name}", status=-1)

    def _restores(self, process: Process) -> bool:
        words = processes.arguments(process.pid)
        return "restore" in words and self._container.id in words
