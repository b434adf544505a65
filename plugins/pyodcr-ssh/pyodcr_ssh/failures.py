"""What ssh and the far side say when something fails, told as pyodcr's errors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyodcr.errors import DestinationError
from pyodcr_ssh.address import Address

SSH_FAILED = 255  # ssh(1): its own status for an error of its own, else that of the far side's command
MOST_CHARS = 300


@dataclass(frozen=True, slots=True)
class _Meaning:
    pattern: re.Pattern[str]
    code: str
    said: str  # empty: what the pattern matched, in lower case
    hint: str  # {login} is the command that logs in by hand


def _meaning(pattern: str, code: str, hint: str = "", said: str = "") -> _Meaning:
    return _Meaning(re.compile(pattern, re.IGNORECASE), code, said, hint)


# The first that is found anywhere in what ssh said. The sentences are OpenSSH's.
_OF_SSH = (
    _meaning(
        r"remote host identification has changed",
        "destination-denied",
        "if its key was replaced, remove the old one with ssh-keygen -R; if not, it is somebody else",
        "the key of the host is not the one that is known",
    ),
    _meaning(
        r"host key verification failed|host key is known for",
        "destination-denied",
        "log in once by hand and compare the key: {login}",
        "the key of the host is not known",
    ),
    _meaning(
        r"permission denied \(|too many authentication failures|no more authentication methods",
        "destination-denied",
        "nothing is asked here: a key without a passphrase, or in an ssh-agent, has to do; try {login}",
        "the host does not let us in",
    ),
    _meaning(
        r"could not resolve hostname", "destination-unreachable", "check the name", "the name of the host is unknown"
    ),
    _meaning(r"timeout, server .* not responding", "destination-unreachable", "", "the host does not answer any more"),
    _meaning(r"connection refused", "destination-unreachable", "does sshd run there, on that port?"),
    _meaning(r"no route to host|network is unreachable", "destination-unreachable", "check the network"),
    _meaning(r"(connection|operation) timed out", "destination-unreachable", "is it up, and does a firewall let us?"),
    _meaning(
        r"bad configuration option|bad owner or permissions|unknown cipher|terminating, \d+ bad|keyword .* extra args",
        "destination-failed",
        "mend the configuration of ssh: {login}",
        "ssh does not take its configuration",
    ),
    _meaning(r"broken pipe|connection (reset|closed)|connection to .* closed", "destination-unreachable"),
)
# What the kernel of the far side says, in the words of glibc, musl and dash.
_OF_FAR = (
    _meaning(
        r"no space left on device|(disk )?quota exceeded", "no-space", "free some space there, or choose another place"
    ),
    _meaning(r"permission denied|operation not permitted|read-only file system", "destination-denied"),
    _meaning(
        r"no such file( or directory)?|not a directory|directory nonexistent",
        "destination-not-found",
        "check the path: it begins at /, or with ~/ in the home directory",
    ),
    _meaning(
        r"file too large", "destination-too-large", "its filesystem, or a limit there, allows no file of that size"
    ),
    _meaning(r"is a directory", "destination-failed", "add a file name"),
)


def of_ssh(action: str, address: Address, status: int | None, said: str) -> DestinationError:
    """``said`` is all that came on standard error, and on standard output before the far side's program began."""
    for meaning in _OF_SSH:
        if found := meaning.pattern.search(said):
            return _error(action, address, meaning, found[0])
    if status in (None, SSH_FAILED):
        reason = _last_line(said) or "the connection broke"
        return _refusal(action, address, reason, "destination-unreachable")
    reason = f"the host runs no shell for us: {_last_line(said) or f'exit status {status}'}"
    return _refusal(
        action, address, reason, "destination-failed", hint=f"the account needs a POSIX shell: {_login(address)}"
    )


def of_far(action: str, address: Address, said: str) -> DestinationError:
    """``said`` is the reason that the far side's program gave."""
    for meaning in _OF_FAR:
        if found := meaning.pattern.search(said):
            return _error(action, address, meaning, found[0])
    return _refusal(action, address, _last_line(said) or "the host gives no reason", "destination-failed")


def cut_off(action: str, address: Address, status: int | None) -> DestinationError:
    reason = "the connection broke" if status is None else f"the host ended it with status {status}"
    return _refusal(action, address, reason, "destination-unreachable")


def silent(action: str, address: Address, seconds: int) -> DestinationError:
    return _refusal(
        action,
        address,
        f"the host was silent for {seconds} s",
        "destination-unreachable",
        hint="is its disk stuck? plugin.ssh.timeout_s says how long is waited",
    )


def _error(action: str, address: Address, meaning: _Meaning, matched: str) -> DestinationError:
    hint = meaning.hint.format(login=_login(address)) or None
    return _refusal(action, address, meaning.said or matched.lower(), meaning.code, hint=hint)


def _refusal(action: str, address: Address, reason: str, code: str, *, hint: str | None = None) -> DestinationError:
    return DestinationError(f"cannot {action} {address.url}: {reason}", code=code, hint=hint, url=address.url)


def _login(address: Address) -> str:
    return " ".join(["ssh", *(word for word in address.words if word != "--")])


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:MOST_CHARS] if lines else ""
