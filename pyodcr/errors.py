"""The one tree of errors.

    PyodcrError                internal-error
    ├── UsageError             usage             what was asked makes no sense
    │   └── ConfigInvalid      config-invalid    a configuration file is wrong
    ├── NotFound               not-found         container, image, volume, network, archive
    ├── Ambiguous              ambiguous         an ID prefix fits several
    ├── WrongState             wrong-state       the container is not in a state for this
    ├── Conflict               conflict          name, ID, port or address already taken
    ├── Busy                   busy              another operation owns the container
    ├── SystemFailed           system            the kernel refused (mount, cgroup, disk full...)
    ├── ToolNotFound           tool-not-found    a program is not installed
    ├── Unsupported            unsupported       this host cannot do it (kernel, CRIU, runtime)
    ├── CommandFailed          command-failed    a program ended with an error
    │   ├── RuntimeFailed      runtime-failed    runc or crun
    │   └── NetworkFailed      network-failed    netavark, ip
    ├── CriuFailed             criu-failed       CRIU refused or died; the log tells
    ├── ImageInvalid           image-invalid     an image, layer or rootfs tarball is damaged
    ├── ArchiveInvalid         archive-invalid   a checkpoint archive is damaged, foreign or hostile
    ├── DestinationError       destination       an archive cannot be written or read there
    └── Interrupted            interrupted       a signal or the deadline ended it

``code`` is stable: scripts may rely on it. A message is one lower-case sentence
that names the path or ID, without a full stop; ``hint`` says what to do about it.
The library raises, it never prints; only ``__main__`` does.
"""

from __future__ import annotations

from typing import ClassVar


class PyodcrError(Exception):
    """Anything pyodcr refuses or fails to do, fit to be shown to a user.

    ``code`` overrides the class's own where a finer, still stable word exists
    (``name-taken`` under ``conflict``, say). ``details`` are JSON values for machines.
    """

    default_code: ClassVar[str] = "internal-error"
    exit_status: ClassVar[int] = 125  # Podman: 125 = the engine itself failed

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.hint = hint
        self.details = details

    @property
    def message(self) -> str:
        return str(self.args[0])


class UsageError(PyodcrError):
    default_code = "usage"


class ConfigInvalid(UsageError):
    default_code = "config-invalid"


class NotFound(PyodcrError):
    default_code = "not-found"


class Ambiguous(PyodcrError):
    default_code = "ambiguous"


class WrongState(PyodcrError):
    default_code = "wrong-state"


class Conflict(PyodcrError):
    default_code = "conflict"


class Busy(PyodcrError):
    default_code = "busy"


class SystemFailed(PyodcrError):
    default_code = "system"


class ToolNotFound(PyodcrError):
    default_code = "tool-not-found"


class Unsupported(PyodcrError):
    default_code = "unsupported"


class CommandFailed(PyodcrError):
    """A program ended with an error. ``status`` is its exit status (-N: signal N), ``stderr`` its last words."""

    default_code = "command-failed"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        stderr: str = "",
        code: str | None = None,
        hint: str | None = None,
        **details: object,
    ) -> None:
        super().__init__(message, code=code, hint=hint, status=status, **details)
        self.status = status
        self.stderr = stderr


class RuntimeFailed(CommandFailed):
    default_code = "runtime-failed"


class NetworkFailed(CommandFailed):
    default_code = "network-failed"


class CriuFailed(PyodcrError):
    default_code = "criu-failed"


class ImageInvalid(PyodcrError):
    default_code = "image-invalid"


class ArchiveInvalid(PyodcrError):
    default_code = "archive-invalid"


class DestinationError(PyodcrError):
    default_code = "destination"


class Interrupted(PyodcrError):
    default_code = "interrupted"
