"""Archives as files of another host: ``ssh://[user@]host[:port]/path``, through the ssh program."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from pyodcr.checkpoint.destinations.base import ObjectInfo, aborting
from pyodcr.config import Config
from pyodcr_ssh import address as addresses
from pyodcr_ssh import info, programs
from pyodcr_ssh.address import Address
from pyodcr_ssh.reader import SshReader
from pyodcr_ssh.session import question
from pyodcr_ssh.settings import Settings, settings
from pyodcr_ssh.upload import SshUpload
from pyodcr_ssh.upload import abort as abort_upload

BUFFER_BYTES = 1 << 20
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)


class SshDestination:
    durable = True

    def __init__(self, address: Address, wishes: Settings) -> None:
        self._address = address
        self._settings = wishes

    @classmethod
    def from_url(cls, text: str, config: Config) -> SshDestination:
        return cls(addresses.parse(text), settings(config))

    @staticmethod
    def abort(recovery: Mapping[str, str], config: Config) -> None:
        abort_upload(addresses.parse(recovery["url"]), settings(config), recovery["temporary"])

    @property
    def url(self) -> str:
        return self._address.url

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        """Begins and aborts an upload: that alone shows host, key, shell, directory, permission and space."""
        with self.put():
            pass

    @contextmanager
    def put(self) -> Iterator[SshUpload]:
        with aborting(SshUpload(self._address, self._settings)) as upload:
            yield upload

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with io.BufferedReader(SshReader(self._address, self._settings), BUFFER_BYTES) as stream:
            yield stream

    def stat(self) -> ObjectInfo | None:
        program = programs.whole(programs.STAT, path=self._address.far_path)
        with question(self._address, self._settings, program, "read") as far:
            return info.parse(far.field(), self.url) if far.field() == "file" else None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        directory = self._address.far_path.rpartition("/")[0] + "/"
        program = programs.whole(programs.LIST, directory=directory, prefix=prefix)
        found = []
        with question(self._address, self._settings, program, "list the directory of") as far:
            while name := far.field():
                said = far.field()
                if not _TEMPORARY.fullmatch(name):
                    found.append(info.parse(said, self._address.beside(name)))
        return iter(sorted(found, key=lambda item: item.url))

    def delete(self) -> None:
        program = programs.whole(programs.DELETE, path=self._address.far_path)
        with question(self._address, self._settings, program, "delete") as far:
            far.field()
