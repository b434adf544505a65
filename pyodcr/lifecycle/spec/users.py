"""Users and groups by the container's own /etc/passwd and /etc/group.

Semantics and words are those of moby/sys/user, which Podman and the runtimes use: a number is never a name,
the first fitting line wins, a number that no line has is taken as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyodcr.errors import NotFound, UsageError
from pyodcr.linux import rooted

MAX_ID = 2**31 - 1
FILE_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who the container's process is. ``home`` is never empty; ``username`` is where no line names the user."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...]
    home: str
    username: str


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: frozenset[str]


def lookup(root: Path, user: str, groups: Sequence[str]) -> UserInfo:
    """Who ``user`` (``[NAME|UID][:GROUP|GID]``, empty for root) is in the filesystem at ``root``.

    ``groups`` are joined as well; so are those that list the user as a member, unless a group was named.
    """
    wanted, colon, group = user.partition(":")
    known = list(_groups(root))
    found = _find_user(root, wanted)
    gid = _gid(group, known) if group else found.gid
    joined = [gid] if user else []
    joined += [_gid(name, known) for name in groups]
    if not colon and found.name:
        joined += [each.gid for each in known if found.name in each.members]
    return UserInfo(found.uid, gid, tuple(dict.fromkeys(joined)), found.home or "/", found.name)


def _find_user(root: Path, wanted: str) -> _User:
    number = _number(wanted) if wanted else 0
    for each in _users(root):
        if each.uid == number if number is not None else each.name == wanted:
            return each
    if number is None:
        raise NotFound(
            f"unable to find user {wanted}: no matching entries in passwd file",
            code="no-such-user",
            hint="name a user of the image, or a number",
        )
    return _User("", number, 0, "")


def _gid(wanted: str, known: Sequence[_Group]) -> int:
    number = _number(wanted)
    if number is not None:
        return number
    for each in known:
        if each.name == wanted:
            return each.gid
    raise NotFound(
        f"unable to find group {wanted}: no matching entries in group file",
        code="no-such-group",
        hint="name a group of the image, or a number",
    )


def _number(text: str) -> int | None:
    """``text`` as an ID; None where it is a name."""
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        return None
    if text.startswith("-") or len(text) > len(str(MAX_ID)) or int(text) > MAX_ID:
        raise UsageError(f"uids and gids must be in range 0-{MAX_ID}, not {text}")
    return int(text)


def _users(root: Path) -> Iterator[_User]:
    """passwd(5): name:password:UID:GID:GECOS:directory:shell."""
    for fields in _lines(root, "/etc/passwd"):
        name, _, uid, gid, _, home = (*fields, *[""] * 6)[:6]
        if _is_id(uid) and _is_id(gid):
            yield _User(name, int(uid), int(gid), home)


def _groups(root: Path) -> Iterator[_Group]:
    """group(5): name:password:GID:members."""
    for fields in _lines(root, "/etc/group"):
        name, _, gid, members = (*fields, *[""] * 4)[:4]
        if _is_id(gid):
            yield _Group(name, int(gid), frozenset(filter(None, members.split(","))))


def _lines(root: Path, path: str) -> Iterator[list[str]]:
    content = rooted.read(root, path, limit_bytes=FILE_LIMIT_BYTES) or b""
    for line in content.decode(errors="surrogateescape").split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip().split(":")


def _is_id(text: str) -> bool:
    """moby/sys/user takes what is no number for 0, and so a broken line for root's; as glibc, we skip the line."""
    return text.isdecimal() and text.isascii() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID
