from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyodcr.config import Config
from pyodcr.errors import ToolNotFound
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.probe import Answers, Libcriu, RuntimeInfo, judge

CRUN = Answers("crun", "1.28", has_checkpoint=True)
RUNC = Answers("runc", "1.3.6+ds1", has_checkpoint=True)


def judged(answers: Answers, libcriu: Libcriu = Libcriu.FIT, *, cgroups_refused: bool = False) -> RuntimeInfo:
    return judge(answers.program, Path("/x"), answers, libcriu=libcriu, cgroups_refused=cgroups_refused)


@pytest.mark.parametrize("answers", [CRUN, RUNC, Answers("runc", "1.0.0", True), Answers("youki", "0.5", True)])
def test_a_runtime_that_can_checkpoint(answers: Answers) -> None:
    info = judged(answers)
    assert (info.can_run, info.can_checkpoint, info.why_not) == (True, True, "")


@pytest.mark.parametrize(
    ("answers", "libcriu", "why_not"),
    [
        (Answers("crun", "1.28", False), Libcriu.FIT, "built without checkpoint support"),
        # Debian 13's: it ignores the annotation in silence, and the container would be killed unsaved
        (Answers("crun", "1.21", True), Libcriu.FIT, "does not take the annotation"),
        (CRUN, Libcriu.ABSENT, "needs the library libcriu.so.2"),
        (CRUN, Libcriu.OLD, "needs libcriu 4.2"),
        (Answers("crun", "of my own", True), Libcriu.FIT, "does not take the annotation"),
        (Answers("runc", "0.1.1", True), Libcriu.ABSENT, "does not take the annotation"),
    ],
)
def test_a_runtime_that_cannot_checkpoint_still_runs(answers: Answers, libcriu: Libcriu, why_not: str) -> None:
    info = judged(answers, libcriu)
    assert (info.can_run, info.can_checkpoint) == (True, False)
    assert why_not in info.why_not


def test_runc_needs_no_libcriu() -> None:
    assert judged(RUNC, Libcriu.ABSENT).can_checkpoint


def test_a_crun_that_refuses_the_cgroups_does_not_even_run() -> None:
    info = judged(CRUN, cgroups_refused=True)
    assert (info.can_run, info.can_checkpoint) == (False, False)
    assert "hybrid" in info.why_not


Install = Callable[..., Config]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Write runtimes that answer as told, each counting its starts, and a configuration that names them."""

    def write(**versions: str) -> Config:
        paths = {}
        for name, version in versions.items():
            path = tmp_path / name
            path.write_text(
                f"#!/bin/sh\necho start >> {tmp_path}/{name}.starts\n"
                f'case "$1" in\n--version) echo "{version}";;\ncheckpoint) echo usage;;\n*) exit 1;;\nesac\n'
            )
            path.chmod(0o755)
            paths[name] = str(path)
        return Config(runroot=tmp_path / "run", runtimes={"crun": "/nowhere/crun", "runc": "/nowhere/runc"} | paths)

    return write


def starts(config: Config, name: str) -> int:
    return len((config.runroot.parent / f"{name}.starts").read_text().splitlines())


def test_the_first_that_can_checkpoint_is_the_default(install: Install) -> None:
    config = install(crun="crun version 1.21", runc="runc version 1.3.6+ds1")
    assert probe.default_runtime(config).name == "runc"


def test_where_none_can_checkpoint_the_first_that_runs_is_the_default(install: Install) -> None:
    config = install(runc="runc version 0.1.1")
    info = probe.default_runtime(config)
    assert (info.name, info.can_checkpoint) == ("runc", False)


def test_the_configured_runtime_is_taken_as_it_is(install: Install) -> None:
    config = install(old="runc version 0.1.1", runc="runc version 1.3.6")
    info = probe.default_runtime(Config(runroot=config.runroot, runtimes=config.runtimes, runtime="old"))
    assert (info.name, info.version, info.can_checkpoint) == ("old", "0.1.1", False)


def test_a_runtime_may_be_named_by_its_path(install: Install) -> None:
    config = install(mine="runc version 1.3.6")
    path = config.runtimes["mine"]
    assert probe.runtime(Config(runroot=config.runroot), path).path == Path(path)


def test_no_runtime_at_all(install: Install) -> None:
    with pytest.raises(ToolNotFound, match="no OCI runtime works"):
        probe.default_runtime(install())


def test_a_name_that_is_not_installed(install: Install) -> None:
    with pytest.raises(ToolNotFound, match="runtime none-such is not installed"):
        probe.find(install(), "none-such")


def test_all_that_are_there_are_listed_in_order(install: Install) -> None:
    config = install(youki="youki version 0.5.0", runc="runc version 1.3.6")
    assert [info.name for info in probe.runtimes(config)] == ["runc", "youki"]


def test_a_runtime_is_asked_once_until_its_file_changes(install: Install) -> None:
    config = install(runc="runc version 1.3.6")
    assert probe.runtime(config, "runc").version == "1.3.6"
    assert probe.runtime(config, "runc").version == "1.3.6"
    assert starts(config, "runc") == 2  # --version and checkpoint --help
    install(runc="runc version 1.4.10")
    assert probe.runtime(config, "runc").version == "1.4.10"
    assert starts(config, "runc") == 4


def test_a_damaged_memory_is_as_good_as_none(install: Install) -> None:
    config = install(runc="runc version 1.3.6")
    config.runroot.mkdir()
    (config.runroot / "runtimes.json").write_text('{"runtimes": [')
    assert probe.runtime(config, "runc").version == "1.3.6"
    assert probe.runtime(config, "runc").version == "1.3.6"
    assert starts(config, "runc") == 2


def test_a_runtime_that_breaks_is_asked_again(install: Install) -> None:
    config = install(runc="runc version 1.3.6")
    program = Path(config.runtimes["runc"])
    whole = program.read_text()
    program.write_text("#!/bin/sh\necho its disk is on fire >&2\nexit 1\n")
    info = probe.runtime(config, "runc")
    assert (info.can_run, info.why_not) == (False, "runc failed: its disk is on fire")
    program.write_text(whole)
    assert probe.runtime(config, "runc").can_run


def test_a_runroot_that_may_not_be_written_is_no_matter(install: Install) -> None:
    config = install(runc="runc version 1.3.6")
    assert probe.runtime(Config(runroot=Path("/proc/run"), runtimes=config.runtimes), "runc").can_run
