"""For every test: `make test` spreads them over workers, each in a host of its own (docs/testing.md)."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # the directory above was made where the workers' controller runs
        Path(config.option.basetemp).parent.mkdir(parents=True, exist_ok=True)
