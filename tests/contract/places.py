"""The places that the contract suite is run on: what a test has to know of a backend to judge it.

A backend of somebody else's joins with ``--place MODULE:FUNCTION``: the function is a context manager that is given
an empty directory for its own use, and yields a :class:`Place`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from pyodcr import config
from pyodcr.checkpoint.destinations import Destination, resolve
from pyodcr.checkpoint.destinations.stdio import StdioDestination
from pyodcr.config import Config
from tests.support import s3server, sshserver


@dataclass(frozen=True, slots=True)
class Place:
    """An empty directory, bucket or the like: ``prefix`` begins every URL in it."""

    prefix: str
    holds: Callable[[], list[str]]  # everything there: objects, temporary files, unfinished uploads
    make_folder: Callable[[str], object] = field(default=lambda name: None)  # where folders do not make themselves
    litter: int = 0  # what a killed writer cannot help leaving, until abort() comes
    config: Config = field(default_factory=Config)  # as its file says: another process reads it again
    keeps: bool = True  # else there is one stream, whose URL is ``prefix``
    resolve: Callable[[str, Config], Destination] = resolve

    def named(self, name: str) -> Destination:
        return self.resolve(self.prefix + name if self.keeps else self.prefix, self.config)


MakePlace: TypeAlias = Callable[[Path], AbstractContextManager[Place]]


def files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def configured(directory: Path, text: str) -> Config:
    path = directory / "pyodcr.toml"
    path.write_text(text)
    return config.load(file=path, environ={})


@contextmanager
def local(directory: Path) -> Iterator[Place]:
    yield Place(f"{directory}/", lambda: files(directory), lambda name: (directory / name).mkdir())


@contextmanager
def local_named(directory: Path) -> Iterator[Place]:
    """A filesystem without unnamed files."""
    with pytest.MonkeyPatch.context() as patch, local(directory) as place:
        patch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # the kernel says EISDIR to this
        yield Place(place.prefix, place.holds, place.make_folder, litter=1)


@contextmanager
def stdout(directory: Path) -> Iterator[Place]:
    """``pyodcr ... > file``, and ``< file``; pytest has the descriptors 0 and 1 for itself."""
    with (directory / "stream").open("wb") as writing, (directory / "stream").open("rb", buffering=0) as reading:
        stream = StdioDestination(stdin=reading.fileno(), stdout=writing.fileno())
        yield Place("-", list, keeps=False, resolve=lambda url, config: stream)


def s3(server: s3server.S3Server) -> MakePlace:
    @contextmanager
    def make(directory: Path) -> Iterator[Place]:
        bucket = f"b-{uuid.uuid4().hex}"
        objects = server.make_bucket(bucket)

        def holds() -> list[str]:
            # the temporary files are the server's own, of a dead upload
            names = [name for name in files(objects) if "/.rclone_temp_" not in f"/{name}"]
            return sorted([*names, *server.uploads(bucket)])

        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment().items():
                patch.setenv(name, value)
            parts = configured(directory, f"[s3]\npart_size = {5 << 20}\n")
            yield Place(f"s3://{bucket}/", holds, litter=1, config=parts)

    return make


def ssh(server: sshserver.SshServer) -> MakePlace:
    @contextmanager
    def make(directory: Path) -> Iterator[Place]:
        archives = directory / "archives"
        archives.mkdir()
        yield Place(
            f"ssh://{sshserver.ALIAS}{archives}/",
            lambda: files(archives),
            lambda name: (archives / name).mkdir(),
            config=configured(directory, ssh_settings(server)),
        )

    return make


def ssh_settings(server: sshserver.SshServer, *, timeout_s: int = 20) -> str:
    return f'[plugin.ssh]\ncommand = ["ssh", "-F", "{server.config}"]\ntimeout_s = {timeout_s}\n'


@contextmanager
def busybox_ssh_server(directory: Path) -> Iterator[sshserver.SshServer]:
    """An sshd whose sessions find busybox, and nothing else."""
    tools = directory / "bin"
    tools.mkdir()
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout
    for applet in listed.split():
        (tools / applet).symlink_to("/bin/busybox")
    with sshserver.serve(directory, environment={"PATH": str(tools)}) as server:
        yield server


def of_name(name: str) -> MakePlace:
    """What ``--place`` names."""
    module, _, attribute = name.partition(":")
    found: MakePlace = getattr(importlib.import_module(module), attribute)
    return found
