"""What an ``ssh://`` URL names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyodcr.errors import UsageError

HINT = "write ssh://[USER@]HOST[:PORT]/PATH, or ssh://HOST/~/PATH for a path in the home directory"
# Neither may begin with a dash, which would make it an option, nor hold what a shell of a ProxyCommand could obey.
# A user may have an @ or, from a Windows domain, a backslash.
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+@\\-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[([0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?)\]")
_PORT = re.compile(r":([0-9]{1,5})")
_SCHEME = "ssh://"


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` is a name, an address (IPv6 without brackets) or a ``Host`` of the user's ssh_config; no user and no
    port: what is configured for it. ``path`` is as it was written, from its ``/`` on: nothing is decoded."""

    user: str
    host: str
    port: int | None
    path: str

    @property
    def url(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{_SCHEME}{user}{host}{port}{self.path}"

    @property
    def words(self) -> list[str]:
        """The host as arguments of ssh."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*user, *port, "--", self.host]

    @property
    def far_path(self) -> str:
        """The path for the far side, where a session begins in the user's home directory; it never begins with a dash.

        ``/~/`` is the home directory, as in git's and curl's URLs.
        """
        return f"./{self.path[3:]}" if self.path.startswith("/~/") else self.path

    def beside(self, name: str) -> str:
        """The URL of ``name`` in the same directory."""
        return self.url[: self.url.rindex("/") + 1] + name


def parse(text: str) -> Address:
    """Raises :class:`UsageError`, which does not repeat a password."""
    authority, slash, path = text[len(_SCHEME) :].partition("/")
    user, at, place = authority.rpartition("@")
    if ":" in user:
        raise UsageError(
            "an ssh:// URL holds no password", hint="keys and agents hold: ssh-copy-id, ssh-add; or see ssh_config(5)"
        )
    host = _HOST.match(place)
    rest = place[host.end() :] if host else ""
    port = _PORT.fullmatch(rest) if rest else None
    if not host or (at and not _USER.fullmatch(user)) or (rest and not (port and 0 < int(port[1]) < 65536)):
        raise UsageError(f"{text} names no host that ssh can reach", hint=HINT)
    if not slash or path.rpartition("/")[2] in ("", ".", "..") or path == "~":
        raise UsageError(f"{text} names no file", hint=HINT)
    return Address(user, host[1] or host[0], int(port[1]) if port else None, f"/{path}")
