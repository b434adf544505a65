from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from pyodcr import plugins
from pyodcr.checkpoint.destinations import abort, registry, resolve
from pyodcr.checkpoint.destinations.s3 import S3Destination
from pyodcr.config import Config, S3Config
from pyodcr.errors import ConfigInvalid, Unsupported, UsageError

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("text", "url", "durable"),
    [
        ("-", "-", False),
        ("/tmp/a/c.tar", "/tmp/a/c.tar", True),
        ("/tmp/a/backup-12:30.tar", "/tmp/a/backup-12:30.tar", True),
        ("file:///tmp/a/c%20d.tar", "/tmp/a/c d.tar", True),
        ("FILE://localhost/tmp/c", "/tmp/c", True),
        ("/dev/fd/7", "/dev/fd/7", False),
        ("/dev/stdout", "/dev/stdout", False),
        ("s3://bucket/a/b?c#d%20", "s3://bucket/a/b?c#d%20", True),
        ("S3://Old_Bucket.x/k", "s3://Old_Bucket.x/k", True),
        ("s3://bucket//lead//x", "s3://bucket//lead//x", True),
    ],
)
def test_resolve(text: str, url: str, durable: bool) -> None:
    destination = resolve(text, Config())
    assert destination.url == url
    assert destination.durable is durable
    assert resolve(destination.url, Config()).url == url


def test_a_relative_path_is_told_as_written_and_kept_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    destination = resolve("dir/c.tar", Config())
    assert str(destination) == "dir/c.tar"
    assert destination.url == f"{tmp_path}/dir/c.tar"
    assert resolve("./s3:odd", Config()).url == f"{tmp_path}/s3:odd"


@pytest.mark.parametrize("text", ["http://host/c", "C:\\c.tar", "c:/c.tar", "s3:bucket/key", "ftp://host/c"])
def test_an_unknown_scheme_lists_the_known(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(text, Config())
    assert text in caught.value.message
    assert caught.value.hint is not None
    assert "file://, s3://" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\0b",
        "caf\udce9",
        "dir/",
        "file:///dir/",
        "file://host/c",
        "file:///a%00b",
        "file:///%ff",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket/dir/",
        "s3:///key",
        "s3://b/key",
        "s3://-bucket/key",
        "s3://bu cket/key",
        "s3://bucket/" + 1025 * "k",
    ],
)
def test_a_name_that_makes_no_sense(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(text, Config())
    assert caught.value.code == "usage"


def test_credentials_in_a_url_are_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("s3://AKIAKEY:hunter2@bucket/key", Config())
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "settings", [S3Config(part_size=1 << 20), S3Config(addressing_style="odd"), S3Config(endpoint="host:9000")]
)
def test_settings_that_s3_cannot_use(settings: S3Config) -> None:
    with pytest.raises(ConfigInvalid):
        resolve("s3://bucket/key", Config(s3=settings))


def test_aborting_a_stream_does_nothing() -> None:
    abort({"scheme": "-"}, Config())


def test_the_built_ins_are_the_registered_entry_points() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][registry.GROUP] == registry.BUILT_IN


def test_a_built_in_is_found_without_looking_for_plugins() -> None:
    code = (
        "import sys; from pyodcr.checkpoint.destinations import resolve; from pyodcr.config import Config\n"
        "for url in ('-', '/tmp/x', 's3://bucket/key'): resolve(url, Config())\n"
        "print([name for name in ('importlib.metadata', 'boto3', 'botocore', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class MemoryDestination:
    """A plugin's class."""

    def __init__(self, text: str) -> None:
        self.url = text

    @classmethod
    def from_url(cls, text: str, config: Config) -> MemoryDestination:
        return cls(text)


def _install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """As a package would that has this line in its metadata."""
    found = metadata.EntryPoint("mem", value, registry.GROUP)

    def entry_points(**params: Any) -> metadata.EntryPoints:
        return metadata.EntryPoints([found]).select(**params)

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_a_plugin_adds_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, f"{__name__}:MemoryDestination")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[MemoryDestination.__module__])
    assert resolve("mem://x", Config()).url == "mem://x"
    with pytest.raises(UsageError) as caught:
        resolve("other://x", Config())
    assert caught.value.hint is not None
    assert "mem://" in caught.value.hint


def test_a_plugin_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "no_such_module_anywhere:Destination")
    with pytest.raises(Unsupported) as caught:
        resolve("mem://x", Config())
    assert caught.value.code == "plugin-broken"
    assert "no_such_module_anywhere" in caught.value.message


def test_a_plugin_cannot_take_a_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("it was looked for"))
    assert plugins.load(registry.GROUP, "s3", registry.BUILT_IN) is S3Destination
