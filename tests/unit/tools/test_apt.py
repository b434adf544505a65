"""Which mirror the test host is built from, read from the machine's own sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.hosts.apt import Source, mirror, pick_mirror, sources
from tools.hosts.errors import HostError

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/off
Suites: bookworm
Components: main
Enabled: no
"""
ONE_LINE = """\
deb-src http://mirror.test/sources bookworm main
deb [arch=amd64 signed-by=/etc/k.gpg] https://other.test/debian bookworm main contrib # why
deb http://broken.test
"""


def apt_directory(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / name.replace("__", "/").replace("_", ".")).write_text(text)
    return tmp_path


def test_both_formats_are_read(tmp_path: Path) -> None:
    etc = apt_directory(tmp_path, sources_list=ONE_LINE)
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    (etc / "sources.list.d/ignored.bak").write_text("deb http://ignored.test bookworm main")
    assert sources(etc) == [
        Source("https://other.test/debian", ("bookworm",), ("main", "contrib")),
        Source("http://mirror.test/debian", ("bookworm", "bookworm-updates"), ("main", "contrib")),
    ]


def test_a_machine_without_sources_has_none(tmp_path: Path) -> None:
    assert sources(tmp_path) == []


@pytest.mark.parametrize(
    "foreign",
    [
        Source("http://security.test/debian-security", ("bookworm-security",), ("main",)),
        Source("http://vendor.test/linux", ("bookworm",), ("stable",)),
        Source("cdrom:[Debian 12]/", ("bookworm",), ("main",)),
    ],
)
def test_only_the_main_archive_is_a_mirror(foreign: Source) -> None:
    archive = Source("http://mirror.test/debian/", ("bookworm",), ("main",))
    assert pick_mirror([foreign], codename="bookworm") is None
    assert pick_mirror([foreign, archive], codename="bookworm") == "http://mirror.test/debian"


def test_the_environment_names_the_mirror_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.test/debian/")
    assert mirror() == "http://mine.test/debian"


def test_no_mirror_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr("tools.hosts.apt.sources", list)
    with pytest.raises(HostError) as caught:
        mirror()
    assert "DEBIAN_MIRROR=" in (caught.value.hint or "")
