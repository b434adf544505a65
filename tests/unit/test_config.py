"""Where settings come from, and that a mistake in a file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyodcr import config
from pyodcr.config import Config, NetworkConfig, S3Config
from pyodcr.errors import ConfigInvalid


@pytest.fixture(autouse=True)
def _no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc/pyodcr.toml")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_given(tmp_path: Path) -> None:
    assert config.load(environ={"HOME": str(tmp_path)}) == Config()


def test_the_later_beats_the_earlier(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    write(tmp_path / "etc/pyodcr.toml", '[engine]\nroot = "/system"\nrunroot = "/system-run"\nruntime = "runc"\n')
    assert config.load(environ=env).root == Path("/system")
    write(tmp_path / ".config/pyodcr/pyodcr.toml", '[engine]\nroot = "/user"\n')
    found = config.load(environ=env)
    assert (found.root, found.runroot) == (Path("/user"), Path("/system-run"))
    env |= {"PYODCR_ROOT": "/env", "PYODCR_RUNTIME": "crun", "PYODCR_CGROUP_PARENT": "/x"}
    found = config.load(environ=env)
    assert (found.root, found.runtime, found.cgroup_parent) == (Path("/env"), "crun", "/x")
    found = config.load(environ=env, root=Path("/typed"), runtime="other")
    assert (found.root, found.runtime) == (Path("/typed"), "other")


def test_xdg_names_the_users_file(tmp_path: Path) -> None:
    write(tmp_path / "conf/pyodcr/pyodcr.toml", '[engine]\nroot = "/xdg"\n')
    assert config.load(environ={"XDG_CONFIG_HOME": str(tmp_path / "conf")}).root == Path("/xdg")


def test_one_of_a_few_words(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", '[checkpoint]\nstaging = "disk"\n')
    assert config.load(file=path, environ={}).checkpoint.staging is config.Staging.DISK


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_named_file_is_the_only_one(tmp_path: Path, by_variable: bool) -> None:
    write(tmp_path / "etc/pyodcr.toml", '[engine]\nruntime = "runc"\n')
    named = write(tmp_path / "mine.toml", '[engine]\nroot = "/mine"\n')
    found = config.load(
        file=None if by_variable else named, environ={"PYODCR_CONFIG": str(named)} if by_variable else {}
    )
    assert (found.root, found.runtime, found.file) == (Path("/mine"), "", named)


def test_every_table(tmp_path: Path) -> None:
    text = """
        [engine]
        cgroup_parent = "/slice"
        [runtimes]
        runc = "/opt/runc"
        [network]
        default_network = "net"
        [s3]
        endpoint = "http://127.0.0.1:9000"
        part_size = 5242880
    """
    found = config.load(file=write(tmp_path / "c.toml", text), environ={})
    assert found.cgroup_parent == "/slice"
    assert found.runtimes == {"runc": "/opt/runc"}
    assert found.network == NetworkConfig(default_network="net")
    assert found.s3 == S3Config(endpoint="http://127.0.0.1:9000", part_size=5 << 20)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[engine", "TOML"),
        ("[motor]\n", "motor"),
        ("engine = 1\n", "engine"),
        ("[engine]\nroots = '/x'\n", "roots"),
        ("[engine]\nroot = 7\n", "root"),
        ("[s3]\npart_size = '8M'\n", "part_size"),
        ("[s3]\npart_size = true\n", "part_size"),
        ("[network]\ndefault_network = []\n", "default_network"),
        ("[plugin]\nssh = 7\n", "plugin.ssh"),
        ("[checkpoint]\nstaging = 'ram'\n", "staging must be one of auto, memory, disk"),
        ("[checkpoint]\nstaging = []\n", "staging"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path / "c.toml", text)
    with pytest.raises(ConfigInvalid) as caught:
        config.load(file=path, environ={})
    assert named in caught.value.message
    assert str(path) in caught.value.message


def test_plugins_have_tables_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "etc/pyodcr.toml", '[plugin.ssh]\ntimeout_s = 5\ncommand = ["ssh"]\n[plugin.other]\nx = 1\n')
    write(tmp_path / ".config/pyodcr/pyodcr.toml", "[plugin.ssh]\ntimeout_s = 7\n")
    found = config.load(environ={"HOME": str(tmp_path)})
    assert found.plugin == {"ssh": {"timeout_s": 7, "command": ["ssh"]}, "other": {"x": 1}}


@pytest.mark.parametrize("text", ["[runtimes]\nrunc = 1\n", "[runtimes]\nrunc = ['/x']\n"])
def test_a_runtime_is_a_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid):
        config.load(file=write(tmp_path / "c.toml", text), environ={})


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        config.load(file=tmp_path / "none.toml", environ={})
    assert "none.toml" in caught.value.message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigInvalid):
        config.load(file=path, environ={})
    with pytest.raises(ConfigInvalid):
        config.load(file=tmp_path, environ={})


def test_relative_places_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.load(environ={}, root=Path("state"), runroot=Path("run"))
    assert (found.root, found.runroot) == (tmp_path / "state", tmp_path / "run")
