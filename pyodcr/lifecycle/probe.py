"""Which OCI runtimes this host has, and which of them can carry a checkpoint.

A runtime *can checkpoint* here when it has the verb **and** takes our CRIU configuration file (the annotation
``org.criu.config``): without the file our commit hook is never called, and CRIU kills a container that was not saved.

- runc takes the annotation since 1.0.0-rc7 (opencontainers/runc e157963);
- crun since 1.26 (containers/crun 17f23ac), through a libcriu that has ``criu_set_config_file``, i.e. 4.2. An older
  crun ignores the annotation in silence, a newer one refuses it where libcriu is older. crun loads the library when
  it needs it, so we look for it each time: installing it does not change crun.

crun refuses to run anything on a hybrid cgroup layout whose v2 part has controllers.

Asking a runtime costs two program starts, so the answers are kept in RUNROOT/runtimes.json for as long
as the program's file stays the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pyodcr import jsonio, process
from pyodcr.config import Config
from pyodcr.errors import CommandFailed, SystemFailed, ToolNotFound
from pyodcr.linux import cgroups, files, release
from pyodcr.linux.release import Release

# Podman's order: crun starts faster, and an archive of Podman's names crun on most hosts. The first that can
# checkpoint on this host wins, so a host whose crun is too old or refuses its cgroups gets runc.
DEFAULT_ORDER = ("crun", "runc")

RUNC_TAKES_CRIU_CONFIG = Release(1, 0)
CRUN_TAKES_CRIU_CONFIG = Release(1, 26)

PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """A runtime of this host; ``why_not`` says in a clause what keeps it from running, or else from checkpointing."""

    name: str
    path: Path
    version: str
    can_run: bool
    can_checkpoint: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a runtime's program says of itself."""

    program: str  # the first word of --version: a crun may be installed under another name
    version: str
    has_checkpoint: bool


class Libcriu(StrEnum):
    """The libcriu.so.2 that crun would load."""

    ABSENT = "absent"
    OLD = "old"  # before 4.2: takes no configuration file
    FIT = "fit"


def runtimes(config: Config) -> tuple[RuntimeInfo, ...]:
    """Every runtime that is installed or configured, the default ones first."""
    return tuple(_infos(config, names(config)))


def runtime(config: Config, name: str) -> RuntimeInfo:
    """The runtime of that name. Raises :class:`ToolNotFound`."""
    return _info(config, name, find(config, name))


def default_runtime(config: Config) -> RuntimeInfo:
    """The configured runtime, else the first that can checkpoint, else the first that can run a container.

    Raises :class:`ToolNotFound` where there is none.
    """
    if config.runtime:
        return runtime(config, config.runtime)
    runs = None
    for info in _infos(config, names(config)):
        if info.can_checkpoint:
            return info
        if info.can_run and runs is None:
            runs = info
    if runs is None:
        raise ToolNotFound("no OCI runtime works on this host", hint="install crun or runc", tried=names(config))
    return runs


def find(config: Config, name: str) -> Path:
    """The program of a runtime: as configured, or a path as it stands, or looked for by its name."""
    path = Path(config.runtimes.get(name, name))
    found = path if path.is_absolute() else process.which(str(path))
    if found is None or not os.access(found, os.X_OK):
        raise ToolNotFound(
            f"runtime {name} is not installed", hint=f"install {name}, or set its path in the configuration", tool=name
        )
    return found


def names(config: Config) -> tuple[str, ...]:
    """The runtimes that may be on this host: the default ones and the configured ones."""
    configured = [*config.runtimes, config.runtime]
    return (*DEFAULT_ORDER, *sorted({name for name in configured if name} - set(DEFAULT_ORDER)))


def _infos(config: Config, names: tuple[str, ...]) -> Iterator[RuntimeInfo]:
    for name in names:
        with suppress(ToolNotFound):
            yield runtime(config, name)


def _info(config: Config, name: str, path: Path) -> RuntimeInfo:
    try:
        answers = _answers(config.runroot / "runtimes.json", path)
    except (CommandFailed, SystemFailed) as error:
        return RuntimeInfo(name, path, "", can_run=False, can_checkpoint=False, why_not=error.message)
    is_crun = answers.program == "crun"
    return judge(
        name,
        path,
        answers,
        libcriu=_libcriu() if is_crun else Libcriu.ABSENT,
        cgroups_refused=is_crun and crun_refuses_cgroups(),
    )


def judge(name: str, path: Path, answers: Answers, *, libcriu: Libcriu, cgroups_refused: bool) -> RuntimeInfo:
    """Decide what a runtime is good for; ``libcriu`` and ``cgroups_refused`` concern crun alone."""
    why_not = ""
    if cgroups_refused:
        why_not = "crun refuses a hybrid cgroup layout with controllers in its v2 part"
    elif not answers.has_checkpoint:
        why_not = f"{name} {answers.version} was built without checkpoint support"
    elif answers.program == "crun":
        why_not = _crun_objection(answers.version, libcriu)
    elif answers.program == "runc" and (release.parse(answers.version) or Release(0, 0)) < RUNC_TAKES_CRIU_CONFIG:
        why_not = f"runc {answers.version} does not take the annotation org.criu.config; 1.0 does"
    return RuntimeInfo(
        name, path, answers.version, can_run=not cgroups_refused, can_checkpoint=not why_not, why_not=why_not
    )


def _crun_objection(version: str, libcriu: Libcriu) -> str:
    if (release.parse(version) or Release(0, 0)) < CRUN_TAKES_CRIU_CONFIG:
        return f"crun {version} does not take the annotation org.criu.config; 1.26 does"
    if libcriu is Libcriu.ABSENT:
        return "crun needs the library libcriu.so.2"
    if libcriu is Libcriu.OLD:
        return "crun needs libcriu 4.2 to take the annotation org.criu.config"
    return ""


def _ask(path: Path) -> Answers:
    said = process.run([path, "--version"], timeout_s=PROBE_TIMEOUT_S).stdout
    line = next(iter(said.splitlines()), "")
    program, _, version = line.partition(" version ")
    checkpoint = process.run([path, "checkpoint", "--help"], check=False, timeout_s=PROBE_TIMEOUT_S)
    return Answers(program.strip() or path.name, version.strip(), checkpoint.status == 0)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Answers, and the file that gave them."""

    inode: int
    size: int
    mtime_ns: int
    answers: Answers


@dataclass(frozen=True, slots=True)
class _Memory:
    runtimes: Mapping[str, _Remembered] = field(default_factory=dict)


def _answers(memory_file: Path, path: Path) -> Answers:
    status = os.stat(path)
    identity = (status.st_ino, status.st_size, status.st_mtime_ns)
    memory = _recall(memory_file)
    known = memory.runtimes.get(str(path))
    if known is not None and (known.inode, known.size, known.mtime_ns) == identity:
        return known.answers
    answers = _ask(path)
    remembered = _Memory({**memory.runtimes, str(path): _Remembered(*identity, answers)})
    with suppress(SystemFailed):  # `system check` of an ordinary user may not write there; it asks again next time
        files.make_directory(memory_file.parent)
        files.write(memory_file, jsonio.dumps(jsonio.encode(remembered)))
    return answers


def _recall(memory_file: Path) -> _Memory:
    try:
        return jsonio.decode(_Memory, jsonio.loads(files.read(memory_file) or "{}"))
    except (jsonio.JsonInvalid, SystemFailed):
        return _Memory()  # asking again is all it costs


def _libcriu() -> Libcriu:
    """Load the library as crun does; the loader alone knows where it is."""
    import ctypes

    try:
        library = ctypes.CDLL("libcriu.so.2")
    except OSError:
        return Libcriu.ABSENT
    return Libcriu.FIT if hasattr(library, "criu_set_config_file") else Libcriu.OLD


def crun_refuses_cgroups() -> bool:
    """A hybrid layout with controllers in its v2 part: crun's own rule (libcrun/cgroup.c, libcrun_cgroup_enter)."""
    if cgroups.layout() is not cgroups.Layout.HYBRID:
        return False
    controllers = files.read(Path("/sys/fs/cgroup/unified/cgroup.controllers"))
    return bool((controllers or "").strip())
