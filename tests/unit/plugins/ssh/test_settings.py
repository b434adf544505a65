from __future__ import annotations

from typing import Any

import pytest

from pyodcr.config import Config
from pyodcr.errors import ConfigInvalid
from pyodcr_ssh.settings import Settings, settings


def test_nothing_given() -> None:
    assert settings(Config()) == Settings()


def test_everything_given() -> None:
    config = Config(plugin={"ssh": {"command": ["ssh", "-F", "/x"], "timeout_s": 5}})
    assert settings(config) == Settings(("ssh", "-F", "/x"), 5)


@pytest.mark.parametrize(
    "table", [{"comand": ["ssh"]}, {"command": "ssh"}, {"command": []}, {"command": [7]}, {"timeout_s": 0}]
)
def test_a_mistake_is_named(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        settings(Config(plugin={"ssh": table}))
    assert f"plugin.ssh.{next(iter(table))}" in caught.value.message
