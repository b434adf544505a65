"""Who a user is, by the files of a root filesystem that may be hostile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyodcr.errors import NotFound, PyodcrError, SystemFailed, UsageError
from pyodcr.lifecycle.spec import users
from pyodcr.lifecycle.spec.users import UserInfo, lookup

PASSWD = """\
# comment
root:x:0:0:root:/root:/bin/sh
redis:x:999:1000:Redis:/var/lib/redis:/usr/sbin/nologin

app:x:999:50::/app:/bin/sh
1234:x:77:77::/seven:/bin/sh
broken:x:abc:0::/broken
short:x:12
nohome:x:500:500
"""
GROUP = """\
root:x:0:
bin:x:1:root,redis
redis:x:1000:
audio:x:29:redis,other
1234:x:78:
broken:x:x:redis
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text(PASSWD)
    (tmp_path / "root/etc/group").write_text(GROUP)
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("user", "info"),
    [
        ("", UserInfo(0, 0, (1,), "/root", "root")),
        ("root", UserInfo(0, 0, (0, 1), "/root", "root")),
        ("redis", UserInfo(999, 1000, (1000, 1, 29), "/var/lib/redis", "redis")),
        ("999", UserInfo(999, 1000, (1000, 1, 29), "/var/lib/redis", "redis")),
        ("redis:audio", UserInfo(999, 29, (29,), "/var/lib/redis", "redis")),
        ("redis:5", UserInfo(999, 5, (5,), "/var/lib/redis", "redis")),
        ("redis:", UserInfo(999, 1000, (1000,), "/var/lib/redis", "redis")),
        ("4321", UserInfo(4321, 0, (0,), "/", "")),
        ("4321:8765", UserInfo(4321, 8765, (8765,), "/", "")),
        ("1234", UserInfo(1234, 0, (0,), "/", "")),
        (":audio", UserInfo(0, 29, (29,), "/root", "root")),
        ("nohome", UserInfo(500, 500, (500,), "/", "nohome")),
    ],
)
def test_users(root: Path, user: str, info: UserInfo) -> None:
    assert lookup(root, user, ()) == info


def test_more_groups(root: Path) -> None:
    assert lookup(root, "redis", ("audio", "2000", "1000")).additional_gids == (1000, 29, 2000, 1)


@pytest.mark.parametrize(
    ("user", "groups", "message"),
    [
        ("nobody", (), "unable to find user nobody: no matching entries in passwd file"),
        ("broken", (), "unable to find user broken: no matching entries in passwd file"),
        ("short", (), "unable to find user short: no matching entries in passwd file"),
        ("redis:nobody", (), "unable to find group nobody: no matching entries in group file"),
        ("redis", ("nobody",), "unable to find group nobody: no matching entries in group file"),
        ("-1", (), "uids and gids must be in range 0-2147483647, not -1"),
        ("2147483648", (), "uids and gids must be in range 0-2147483647, not 2147483648"),
        ("9" * 5000, (), f"uids and gids must be in range 0-2147483647, not {'9' * 5000}"),
    ],
)
def test_nobody(root: Path, user: str, groups: tuple[str, ...], message: str) -> None:
    with pytest.raises(PyodcrError) as caught:
        lookup(root, user, groups)
    assert caught.value.message == message


def test_a_root_without_files_knows_numbers_only(tmp_path: Path) -> None:
    assert lookup(tmp_path, "", ()) == UserInfo(0, 0, (), "/", "")
    assert lookup(tmp_path, "7", ("8",)) == UserInfo(7, 0, (0, 8), "/", "")
    with pytest.raises(NotFound):
        lookup(tmp_path, "root", ())


def test_an_absolute_link_stays_in_the_root(root: Path) -> None:
    (root / "etc/passwd").rename(root / "passwd")
    (root / "etc/passwd").symlink_to("/passwd")
    assert lookup(root, "redis", ()).uid == 999


@pytest.mark.parametrize("depth", [0, 1])
def test_no_link_leads_to_the_host(root: Path, depth: int) -> None:
    secret = root.parent / "passwd"
    secret.write_text("intruder:x:0:0::/:\n")
    (root / "etc/passwd").unlink()
    if depth:
        (root / "etc/group").unlink()
        (root / "etc").rmdir()
        (root / "etc").symlink_to("../..")
    else:
        (root / "etc/passwd").symlink_to("../../passwd")
    with pytest.raises(NotFound):
        lookup(root, "intruder", ())


def test_a_magic_link_is_not_followed(root: Path) -> None:
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to(f"/proc/{os.getpid()}/root/etc/passwd")
    with pytest.raises(NotFound):
        lookup(root, "root", ())


@pytest.mark.parametrize("kind", ["fifo", "directory", "circle"])
def test_what_is_no_file_is_as_good_as_none(root: Path, kind: str) -> None:
    passwd = root / "etc/passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "directory":
        passwd.mkdir()
    else:
        passwd.symlink_to("passwd")
    assert lookup(root, "0", ()).username == ""


def test_a_huge_file_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "FILE_LIMIT_BYTES", 10)
    with pytest.raises(SystemFailed, match="is larger than 10 bytes"):
        lookup(root, "root", ())


def test_a_number_is_never_a_name(root: Path) -> None:
    assert lookup(root, "redis:1234", ()).gid == 1234
    with pytest.raises(UsageError):
        lookup(root, "redis:-5", ())
