"""Time zones: of this host's directory of them, and of nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr.errors import NotFound
from pyodcr.lifecycle import localtime


@pytest.fixture(autouse=True)
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "zones"
    (directory / "America").mkdir(parents=True)
    (directory / "America/Lima").write_bytes(b"TZif2 Lima")
    (directory / "Peru").symlink_to("America/Lima")
    (tmp_path / "secret").write_bytes(b"secret")
    monkeypatch.setattr(localtime, "ZONES", directory)
    return directory


@pytest.mark.parametrize("name", ["America/Lima", "Peru"])
def test_the_rules_become_a_file_of_ours(tmp_path: Path, name: str) -> None:
    localtime.write(name, tmp_path / "localtime")
    assert (tmp_path / "localtime").read_bytes() == b"TZif2 Lima"
    assert (tmp_path / "localtime").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../secret", "America/../../secret", "Mars/Base", "America"])
def test_no_zone_of_this_host(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="time zone"):
        localtime.write(name, tmp_path / "localtime")
    assert not (tmp_path / "localtime").exists()
