from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import places
from tests.contract.places import MakePlace, Place
from tests.support import s3server, sshserver

KEEPING = ("local", "local-named", "s3", "ssh", "ssh-busybox")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--place", action="append", default=[], metavar="MODULE:FUNCTION", help="another backend to judge")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    added = metafunc.config.getoption("--place", default=[])
    for fixture, own in (("place", KEEPING), ("anywhere", ("stdout", *KEEPING))):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, added or own, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """One that keeps what it is given."""
    with _maker(request)(tmp_path) as place:
        yield place


@pytest.fixture
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with _maker(request)(tmp_path) as place:
        yield place


def _maker(request: pytest.FixtureRequest) -> MakePlace:
    match str(request.param):
        case "local":
            return places.local
        case "local-named":
            return places.local_named
        case "stdout":
            return places.stdout
        case "s3":
            return places.s3(request.getfixturevalue("s3_server"))
        case "ssh":
            return places.ssh(request.getfixturevalue("ssh_server"))
        case "ssh-busybox":
            return places.ssh(request.getfixturevalue("busybox_ssh_server"))
        case elsewhere:
            return places.of_name(elsewhere)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3server.S3Server]:
    with s3server.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_server: s3server.S3Server, monkeypatch: pytest.MonkeyPatch) -> s3server.S3Server:
    """The server, reached through the environment as a user would have it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshserver.SshServer]:
    with sshserver.serve(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="session")
def busybox_ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshserver.SshServer]:
    with places.busybox_ssh_server(tmp_path_factory.mktemp("ssh-busybox")) as server:
        yield server
