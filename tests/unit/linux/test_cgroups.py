"""Control groups as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.linux import cgroups


def test_processes_that_have_no_pid_here_are_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel writes 0 for one of a foreign pid namespace; kill(0) would hit ourselves."""
    place = tmp_path / "pyodcr/x"
    place.mkdir(parents=True)
    (place / "cgroup.procs").write_text("0\n4194305\n1\n")
    hierarchy = cgroups.Hierarchy(tmp_path, frozenset(), unified=True)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (hierarchy,))
    assert cgroups.processes("/pyodcr/x") == {4194305}
