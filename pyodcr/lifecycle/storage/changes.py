"""``import --change``: a Dockerfile's instructions applied to an image's configuration.

Rules are Podman's (``ImageConfigFromChanges``): ``KEY VALUE`` or ``KEY=VALUE``; CMD and ENTRYPOINT are JSON
lists, else a line for ``/bin/sh -c``; ENV and LABEL take one ``key=value``; VOLUME adds, WORKDIR is relative
to the last one, STOPSIGNAL is kept as a number.
"""

from __future__ import annotations

import json
import os.path
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pyodcr.errors import UsageError
from pyodcr.lifecycle.storage.images import ImageConfig


def apply(changes: Sequence[str], config: ImageConfig | None = None) -> ImageConfig:
    """Raises :class:`UsageError`, naming the change that is wrong."""
    result = config or ImageConfig()
    for change in changes:
        name, separator, value = change.partition(" ")
        if not separator:
            name, separator, value = change.partition("=")
        instruction = _INSTRUCTIONS.get(name.strip().upper())
        if not separator:
            raise _invalid(change, "it must be written as KEY VALUE")
        if instruction is None:
            raise _invalid(change, f"there is no instruction {name.strip().upper()}")
        try:
            result = instruction(result, value.strip())
        except ValueError as error:
            raise _invalid(change, str(error)) from error
    return result


def _invalid(change: str, reason: str) -> UsageError:
    return UsageError(f'invalid change "{change}": {reason}', code="invalid-change", change=change)


def _list(value: str) -> tuple[str, ...] | None:
    """A JSON list of strings, or None if it is something else."""
    try:
        items = json.loads(value)
    except ValueError:
        return None
    return tuple(items) if isinstance(items, list) and all(isinstance(item, str) for item in items) else None


def _pair(value: str) -> tuple[str, str]:
    name, _, content = value.partition("=")
    return _unquoted(name), _unquoted(content)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def _needed(value: str) -> str:
    if not value:
        raise ValueError("it has no value")
    return value


def _user(config: ImageConfig, value: str) -> ImageConfig:
    return replace(config, user=_needed(value))


def _expose(config: ImageConfig, value: str) -> ImageConfig:
    found = re.fullmatch(r"([0-9]{1,5})(?:/(tcp|udp))?", value.lower())
    if found is None or not 0 < int(found[1]) < 65536:
        raise ValueError("a port is written as NUMBER[/tcp|/udp]")
    port = f"{int(found[1])}/{found[2] or 'tcp'}"
    return replace(config, exposed_ports={**config.exposed_ports, port: {}})


def _env(config: ImageConfig, value: str) -> ImageConfig:
    name, content = _pair(value)
    if not name:
        raise ValueError("a variable is written as NAME=VALUE")
    kept = tuple(item for item in config.env if item.partition("=")[0] != name)
    return replace(config, env=(*kept, f"{name}={content}"))


def _label(config: ImageConfig, value: str) -> ImageConfig:
    name, content = _pair(value)
    if "=" not in value or not name:
        raise ValueError("a label is written as NAME=VALUE")
    return replace(config, labels={**config.labels, name: content})


def _entrypoint(config: ImageConfig, value: str) -> ImageConfig:
    words = _list(value)
    if words is None:
        words = ("/bin/sh", "-c", value) if value else ()
    return replace(config, entrypoint=words)


def _cmd(config: ImageConfig, value: str) -> ImageConfig:
    words = _list(value)
    return replace(config, cmd=("/bin/sh", "-c", *([value] if value else [])) if words is None else words)


def _volume(config: ImageConfig, value: str) -> ImageConfig:
    paths = _list(value)
    volumes: Mapping[str, object] = {_needed(path): {} for path in (value.split() if paths is None else paths)}
    if not volumes:
        raise ValueError("it names no path")
    return replace(config, volumes={**config.volumes, **volumes})


def _workdir(config: ImageConfig, value: str) -> ImageConfig:
    return replace(config, working_dir=os.path.normpath(os.path.join(config.working_dir, _needed(value))))


def _stop_signal(config: ImageConfig, value: str) -> ImageConfig:
    name = value.upper().removeprefix("SIG")
    try:
        number = int(name) if name.isdecimal() else signal.Signals[f"SIG{name}"].value
    except KeyError:
        number = 0
    if not 0 < number <= signal.SIGRTMAX:
        raise ValueError("there is no such signal")
    return replace(config, stop_signal=str(number))


def _on_build(config: ImageConfig, value: str) -> ImageConfig:
    return replace(config, on_build=(*config.on_build, _needed(value)))


_INSTRUCTIONS: Mapping[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "USER": _user,
    "EXPOSE": _expose,
    "ENV": _env,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "ONBUILD": _on_build,
}
