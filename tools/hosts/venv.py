"""The Python environment of the test host: dependencies and tools from pyproject.toml, the checkout itself editable.

It is made inside the tree, by the tree's Python, at the path where sessions see it (/opt/venv), with the machine's pip
settings: its index, its certificates, and whatever local directories those settings name.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import apt, inside
from .cache import CHECKOUT, Cache, locked, prune
from .steps import failure, step

_WHOLE = ".whole"
_FORMAT = 1
# Where pip installs is ours to say, not the machine's.
_NOT_PASSED = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV"}
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def projects() -> list[Path]:
    """The installable projects of the checkout: pyodcr itself and its plugins, as directories."""
    return [CHECKOUT, *sorted(path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml"))]


def ensure_venv(cache: Cache, tree: Path) -> Path:
    """The environment for this tree and this pyproject.toml, made first if it is not in the cache. Raises HostError."""
    digest = hashlib.sha256(f"{_FORMAT} {tree.name}".encode())
    for project in projects():
        digest.update((project / "pyproject.toml").read_bytes())
    venv = cache.root / f"venv-{digest.hexdigest()[:16]}"
    if (venv / _WHOLE).exists():
        return venv
    with locked(cache.root / "lock", exclusive=True):
        if not (venv / _WHOLE).exists():
            _build(cache, tree, venv)
            prune(cache, "venv-", keep=venv.name)
    return venv


def _build(cache: Cache, tree: Path, venv: Path) -> None:
    if venv.exists():
        shutil.rmtree(venv)
    venv.mkdir()
    settings = _pip_environment(os.environ)
    env = {
        "PATH": "/opt/venv/bin:/usr/sbin:/usr/bin",
        "HOME": str(Path.home()),
        "LC_ALL": "C.UTF-8",
        **apt.proxy_environment(),
        **settings,
        "PIP_CACHE_DIR": "/var/cache/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    configs = [path for path in _pip_configs(settings) if path.is_file()]
    binds = {path: path for path in [*configs, *local_paths(configs, settings.values())]}
    binds |= {
        Path("/etc/resolv.conf"): Path("/etc/resolv.conf").resolve(),
        Path("/var/cache/pip"): cache.directory("pip"),
        Path("/opt/venv"): venv,
        Path("/src"): CHECKOUT,
    }
    editable = [word for each in projects() for word in ("-e", str(Path("/src", each.relative_to(CHECKOUT))))]
    groups = [word for name in ("test", "lint") for word in ("--group", f"/src/pyproject.toml:{name}")]
    for what, argv in (
        ("python environment", ["/usr/bin/python3", "-m", "venv", "--system-site-packages", "/opt/venv"]),
        ("python packages", ["/opt/venv/bin/pip", "install", "--progress-bar=off", *editable, *groups]),
    ):
        offset = cache.log.stat().st_size if cache.log.exists() else 0
        with step(what), tempfile.TemporaryDirectory(prefix="venv-build-", dir=cache.root) as scratch:
            if inside.run(argv, env=env, log=cache.log, tree=tree, binds=binds, scratch=Path(scratch)) != 0:
                raise failure(what, cache.log, offset=offset)
    (venv / _WHOLE).touch()


def _pip_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith("PIP_") or name in _CERTIFICATES) and name not in _NOT_PASSED
    }


def _pip_configs(settings: Mapping[str, str]) -> Iterator[Path]:
    """Where pip reads its settings (pip's documentation, "Configuration files"), the last wins."""
    yield Path("/etc/xdg/pip/pip.conf")
    yield Path("/etc/pip.conf")
    yield Path.home() / ".pip/pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip/pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if named := settings.get("PIP_CONFIG_FILE"):
        yield Path(named)


def local_paths(configs: Iterable[Path], values: Iterable[str]) -> list[Path]:
    """The files and directories of this machine that pip's settings name: certificates, wheel and index directories."""
    words = [word for value in values for word in value.split()]
    for path in configs:
        parser = configparser.RawConfigParser()
        parser.read(path)
        words += [word for section in parser.sections() for _, value in parser.items(section) for word in value.split()]
    named = {Path(re.sub(r"^file://(localhost)?", "", word)) for word in words}
    # The pages of a simple index (PEP 503) link to files that lie beside it, usually as ../../files/NAME.
    named |= {path.parent for path in named if path.name == "simple"}
    present = {path for path in named if path.is_absolute() and path.exists() and len(path.parts) > 2}
    return sorted(path for path in present if present.isdisjoint(path.parents))
