"""What of a stranger's configuration is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.checkpoint.admission import admit
from pyodcr.config import Config
from pyodcr.errors import ArchiveInvalid
from pyodcr.lifecycle.models import ContainerConfig

OWN = Config(root=Path("/root"), runroot=Path("/run"))
PLAIN = ContainerConfig(id="a" * 64, name="c", image_id="b" * 64, runtime="runc")


@pytest.mark.parametrize("values", [{"stop_signal": 1}, {"stop_signal": 64}, {"stop_timeout_s": 0}])
def test_numbers_that_make_sense(values: dict[str, Any]) -> None:
    admitted = admit(replace(PLAIN, **values), OWN)
    assert {name: getattr(admitted, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stop_signal": 0}, "stop signal 0"),
        ({"stop_signal": 65}, "stop signal 65"),
        ({"stop_signal": 9999}, "stop signal 9999"),
        ({"stop_timeout_s": -1}, "stop timeout -1"),
        ({"stop_timeout_s": 2**32}, "stop timeout 4294967296"),
    ],
)
def test_numbers_that_no_engine_writes(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ArchiveInvalid, match=says) as error:
        admit(replace(PLAIN, **values), OWN)
    assert error.value.code == "archive-hostile"
