"""`--log-driver` and `--log-opt`: where the container's output goes.

The log is conmon's ``k8s-file``; ``json-file`` is another name of it, as with Podman. Drivers that give the
container a descriptor of the host (passthrough) would make it impossible to checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyodcr.errors import UsageError
from pyodcr.lifecycle.spec import sizes

DRIVERS = {"": "k8s-file", "k8s-file": "k8s-file", "json-file": "k8s-file", "none": "none"}


@dataclass(frozen=True, slots=True)
class Log:
    driver: str
    path: str
    size_bytes: int  # 0: no limit


def parse(driver: str, options: Sequence[str], default_path: Path) -> Log:
    path, size_bytes = "", 0
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f'invalid log option "{option}"', hint="log options are NAME=VALUE")
        match name.lower():
            case "driver":
                driver = value
            case "path":
                path = str(Path(value).absolute())
            case "max-size":
                size_bytes = sizes.decimal(value, "log option max-size")
            case _:
                raise UsageError(f'there is no log option "{name}"', hint="log options: path, max-size, driver")
    if driver not in DRIVERS:
        raise UsageError(f'invalid log driver "{driver}"', hint="log drivers: k8s-file, json-file, none")
    driver = DRIVERS[driver]
    if driver == "none":
        return Log(driver, "", 0)
    return Log(driver, path or str(default_path), size_bytes)
