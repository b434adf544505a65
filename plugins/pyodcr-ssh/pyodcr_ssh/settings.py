"""The table ``[plugin.ssh]`` of pyodcr's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from pyodcr.config import Config, checked
from pyodcr.errors import ConfigInvalid

_TABLE = "plugin.ssh"


@dataclass(frozen=True, slots=True)
class Settings:
    """``command`` is ssh with options of its own, which go before ours and win over them. ``timeout_s``: a far side
    that takes no byte, gives none, or does not answer for so long is given up."""

    command: tuple[str, ...] = ("ssh",)
    timeout_s: int = 60


def settings(config: Config) -> Settings:
    """Raises :class:`ConfigInvalid`."""
    default = Settings()
    known = {"command": list(default.command), "timeout_s": default.timeout_s}
    values = {**known, **checked(config.plugin.get("ssh", {}), known, _TABLE)}
    command, timeout_s = values["command"], values["timeout_s"]
    if not command or not all(isinstance(word, str) and word for word in command):
        raise ConfigInvalid(f"{_TABLE}.command must be a program and its arguments", hint='command = ["ssh", "-4"]')
    if timeout_s < 1:
        raise ConfigInvalid(f"{_TABLE}.timeout_s must be at least 1")
    return Settings(tuple(command), timeout_s)
