"""runc and crun: one method per verb of the OCI runtime's command line.

``create``, ``restore`` and ``exec`` are not here: conmon runs those (:mod:`.conmon`). Each runtime keeps its
state where it does by itself (/run/runc, /run/crun): the path goes into CRIU's images (crun masks directories
with /run/crun/.empty-directory, and a restore under another root does not find it), so one of our own would
keep archives from being restored by other engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyodcr import jsonio, process
from pyodcr.errors import RuntimeFailed
from pyodcr.linux import files, mounts


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What ``runtime state`` answers; not to be believed while an operation row is open."""

    status: str  # creating, created, running, paused, stopped
    pid: int


@dataclass(frozen=True, slots=True)
class OciRuntime:
    name: str
    path: Path
    state_root: Path

    @property
    def global_args(self) -> tuple[str, ...]:
        return ("--root", str(self.state_root))

    def _run(self, *words: str, check: bool = True) -> process.Result:
        argv: list[str | Path] = [self.path, *self.global_args, *words]
        result = process.run(argv, check=False)
        if check and result.status != 0:
            error = process.failed(argv, result, RuntimeFailed)
            error.code = exec_code(error.message) or error.code
            raise error
        return result

    def state(self, container_id: str) -> RuntimeState | None:
        """None where the runtime knows no such container."""
        result = self._run("state", container_id, check=False)
        if result.status != 0:
            return None
        try:
            answer = jsonio.loads(result.stdout)
        except jsonio.JsonInvalid:
            return None
        return RuntimeState(str(answer.get("status", "")), int(answer.get("pid", 0)))

    def start(self, container_id: str) -> None:
        self._run("start", container_id)

    def kill(self, container_id: str, signal: int) -> None:
        self._run("kill", container_id, str(signal))

    def pause(self, container_id: str) -> None:
        self._run("pause", container_id)

    def resume(self, container_id: str) -> None:
        self._run("resume", container_id)

    def saved_annotations(self, container_id: str) -> dict[str, str]:
        """The annotations the runtime saved when it created the container, the only ones it acts on."""
        return saved_annotations(self.state_root / container_id) or {}

    def delete(self, container_id: str) -> None:
        """Forget the container by force, whatever state it is in; fine when the runtime knows nothing of it.

        What is mounted below the runtime's directory goes first: a killed ``runc restore`` leaves a bind
        of the root filesystem there, through which ``runc delete --force`` would empty it.
        """
        directory = self.state_root / container_id
        mounts.unmount_below(directory)
        if not directory.exists():
            return
        result = self._run("delete", "--force", container_id, check=False)
        if directory.exists():  # each failed crun restore leaves it once more
            again = self._run("delete", "--force", container_id, check=False)
            mounts.unmount_below(directory)
            if directory.exists() and again.status != 0 and "does not exist" not in result.stderr + again.stderr:
                raise process.failed([self.path, "delete", container_id], again, RuntimeFailed)
            files.remove_tree(directory)


def saved_annotations(directory: Path) -> dict[str, str] | None:
    """The annotations in a runtime's state of one container; None where it has none.

    runc keeps them as ``NAME=VALUE`` labels in its state.json, crun in its copy of config.json.
    """
    state = files.read(directory / "state.json")
    if state is not None:
        labels = jsonio.loads(state).get("config", {}).get("labels") or []
        return dict(label.split("=", 1) for label in labels if "=" in label)
    config = files.read(directory / "config.json")
    if config is not None:
        return dict(jsonio.loads(config).get("annotations") or {})
    return None


def exec_code(said: str) -> str | None:
    """Tell "not found" from "not executable" by the runtimes' words, as libpod does: exit status 127 or 126."""
    lower = said.lower()
    if "permission denied" in lower or "operation not permitted" in lower or "is a directory" in lower:
        return "command-not-executable"
    if "executable file not found" in lower or "no such file or directory" in lower:
        return "command-not-found"
    return None
