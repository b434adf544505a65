"""Settings: built-in, then the configuration files, then the environment, then the command line.

Files are TOML: ``/etc/pyodcr/pyodcr.toml`` and ``$XDG_CONFIG_HOME/pyodcr/pyodcr.toml`` (or the one
file that ``--config`` or ``$PYODCR_CONFIG`` names). Tables::

    [engine]      root runroot runtime cgroup_parent cgroup_manager
    [runtimes]    runc = "/usr/bin/runc"                paths of OCI runtimes by name
    [network]     default_network default_subnet firewall_driver
    [checkpoint]  staging = "auto" | "memory" | "disk"  where images wait on their way into an archive
    [s3]          endpoint region part_size storage_class server_side_encryption kms_key_id addressing_style
    [plugin.X]    what the plugin X makes of it, with checked()

Environment: ``PYODCR_ROOT PYODCR_RUNROOT PYODCR_RUNTIME PYODCR_CGROUP_PARENT``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pyodcr.errors import ConfigInvalid

SYSTEM_FILE = Path("/etc/pyodcr/pyodcr.toml")
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    default_network: str = "pyodcr"
    default_subnet: str = "10.87.0.0/16"  # Podman's own is 10.88.0.0/16, and its further networks begin at 10.89
    firewall_driver: str = ""  # netavark's own choice


class Staging(StrEnum):
    """Where CRIU's images wait on their way into an archive; what they take of memory is limited in any case."""

    AUTO = "auto"  # in memory if there is room, else on disk
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    staging: Staging = Staging.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """How ``s3://`` destinations are reached; credentials come from AWS' own variables and files, never from here."""

    endpoint: str = ""
    region: str = ""
    part_size: int = 8 * MIB
    storage_class: str = ""
    server_side_encryption: str = ""
    kms_key_id: str = ""
    addressing_style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What this run of pyodcr was told. Frozen: run state lives in :class:`pyodcr.lifecycle.context.Context`."""

    root: Path = Path("/var/lib/pyodcr")
    runroot: Path = Path("/run/pyodcr")
    runtime: str = ""  # empty: the first that can checkpoint on this host
    runtimes: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = "/pyodcr"
    cgroup_manager: str = "cgroupfs"
    file: Path | None = None  # the one --config named; conmon's exit command must use it again
    network: NetworkConfig = NetworkConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    s3: S3Config = S3Config()
    plugin: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by name; only the plugin knows its settings

    def command_line(self, *words: str) -> list[str]:
        """The command line that runs pyodcr with this configuration again, for others to call."""
        # -P: a module in the directory it runs in must not take the place of one of ours
        command = [sys.executable, "-P", "-m", "pyodcr", "--root", str(self.root), "--runroot", str(self.runroot)]
        if self.file is not None:
            command += ["--config", str(self.file)]
        return [*command, *words]


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    root: Path | None = None,
    runroot: Path | None = None,
    runtime: str | None = None,
) -> Config:
    """Merge all sources, the later over the earlier; raises :class:`ConfigInvalid` with the file and key."""
    env = os.environ if environ is None else environ
    named = file or (Path(env["PYODCR_CONFIG"]) if env.get("PYODCR_CONFIG") else None)
    config = Config(file=named)
    for path in [named] if named else [SYSTEM_FILE, _user_file(env)]:
        config = _merge(config, _read(path, required=named is not None), path)
    overrides: dict[str, Any] = {
        "root": root or (Path(env["PYODCR_ROOT"]) if env.get("PYODCR_ROOT") else None),
        "runroot": runroot or (Path(env["PYODCR_RUNROOT"]) if env.get("PYODCR_RUNROOT") else None),
        "runtime": runtime or env.get("PYODCR_RUNTIME"),
        "cgroup_parent": env.get("PYODCR_CGROUP_PARENT"),
    }
    config = replace(config, **{name: value for name, value in overrides.items() if value})
    return replace(config, root=config.root.absolute(), runroot=config.runroot.absolute())


def _user_file(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME", "/root")) / ".config")
    return Path(home) / "pyodcr" / "pyodcr.toml"


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        if required or not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ConfigInvalid(f"cannot read {path}: {str(error.strerror).lower()}") from error
        return {}
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path} is not valid TOML: it is not UTF-8 at byte {error.start}") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path} is not valid TOML: {error}") from error


def _merge(config: Config, tables: dict[str, Any], path: Path) -> Config:
    changes: dict[str, Any] = {}
    for table, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigInvalid(f"{path}: {table} is not a table")
        if table == "runtimes":
            known = dict.fromkeys(values, "")
            changes["runtimes"] = {**config.runtimes, **checked(values, known, f"{path}: runtimes")}
        elif table == "engine":
            names = ("root", "runroot", "runtime", "cgroup_parent", "cgroup_manager")
            changes |= checked(values, {name: getattr(config, name) for name in names}, f"{path}: engine")
        elif table in ("network", "checkpoint", "s3"):
            current = getattr(config, table)
            known = {item.name: getattr(current, item.name) for item in fields(current)}
            changes[table] = replace(current, **checked(values, known, f"{path}: {table}"))
        elif table == "plugin":
            changes[table] = _with_plugins(config.plugin, values, path)
        else:
            hint = "tables: engine, runtimes, network, checkpoint, s3, plugin"
            raise ConfigInvalid(f"{path}: there is no table {table}", hint=hint)
    return replace(config, **changes)


def _with_plugins(
    plugins: Mapping[str, Mapping[str, Any]], tables: dict[str, Any], path: Path
) -> Mapping[str, Mapping[str, Any]]:
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigInvalid(f"{path}: plugin.{name} is not a table")
    return {**plugins, **{name: {**plugins.get(name, {}), **values} for name, values in tables.items()}}


def checked(values: Mapping[str, Any], known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``values``, if each is a setting of ``known`` (name -> a value of its type); else :class:`ConfigInvalid`."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigInvalid(f"{where}.{name} is not a setting", hint=f"settings: {', '.join(sorted(known))}")
        kind = type(known[name])
        if issubclass(kind, Path) and isinstance(value, str):
            out[name] = Path(value)
        elif issubclass(kind, StrEnum):
            if value not in list(kind):
                raise ConfigInvalid(f"{where}.{name} must be one of {', '.join(kind)}, not {value!r}")
            out[name] = kind(value)
        elif type(value) is kind:
            out[name] = value
        else:
            raise ConfigInvalid(f"{where}.{name} must be a {kind.__name__}, not {value!r}")
    return out
