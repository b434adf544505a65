"""What OpenSSH 10 and the usual shells say, word by word, and what we make of it."""

from __future__ import annotations

import pytest

from pyodcr_ssh import failures
from pyodcr_ssh.address import parse

ADDRESS = parse("ssh://me@far:2222/srv/c")


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        (
            "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\n"
            "Host key verification failed.\r\n",
            "destination-denied",
            "the key of the host is not known",
        ),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n",
            "destination-denied",
            "the key of the host is not the one that is known",
        ),
        ("me@far: Permission denied (publickey).\r\n", "destination-denied", "the host does not let us in"),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\n",
            "destination-denied",
            "the host does not let us in",
        ),
        (
            "ssh: connect to host far port 2222: Connection refused\r\n",
            "destination-unreachable",
            "connection refused",
        ),
        ("ssh: connect to host far port 22: No route to host\r\n", "destination-unreachable", "no route to host"),
        (
            "ssh: Could not resolve hostname far: Name or service not known\r\n",
            "destination-unreachable",
            "the name of the host is unknown",
        ),
        (
            "Connection timed out during banner exchange\r\nConnection to far port 22 timed out\r\n",
            "destination-unreachable",
            "connection timed out",
        ),
        (
            "Timeout, server far not responding.\r\n",
            "destination-unreachable",
            "the host does not answer any more",
        ),
        (
            "client_loop: send disconnect: Broken pipe\r\n",
            "destination-unreachable",
            "broken pipe",
        ),
        (
            "/root/.ssh/config: line 1: Bad configuration option: nonsense\r\n",
            "destination-failed",
            "ssh does not take its configuration",
        ),
        ("", "destination-unreachable", "the connection broke"),
    ],
)
def test_ssh(said: str, code: str, reason: str) -> None:
    error = failures.of_ssh("write", ADDRESS, 255, said)
    assert (error.code, error.message) == (code, f"cannot write ssh://me@far:2222/srv/c: {reason}")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("dd: error writing '/srv/.c.0.tmp': No space left on device\n3+0 records in\n2+0 records out", "no-space"),
        ("dd: error writing '/srv/.c.0.tmp': Disk quota exceeded", "no-space"),
        ("sh: 1: eval: cannot create /srv/.c.0.tmp: Permission denied", "destination-denied"),
        ("sh: line 9: /srv/.c.0.tmp: Read-only file system", "destination-denied"),
        ("ls: cannot access '/srv/': No such file or directory", "destination-not-found"),
        ("sh: 1: cannot open /srv/c: No such file", "destination-not-found"),
        ("dd: error writing '/srv/.c.0.tmp': File too large", "destination-too-large"),
        ("only 3 bytes arrived", "destination-failed"),
        ("dd: fsync failed for '/srv/.c.0.tmp': Input/output error", "destination-failed"),
    ],
)
def test_the_far_side(said: str, code: str) -> None:
    assert failures.of_far("write", ADDRESS, said).code == code


def test_a_hint_says_how_to_log_in() -> None:
    error = failures.of_ssh("write", ADDRESS, 255, "Host key verification failed.")
    assert error.hint == "log in once by hand and compare the key: ssh -l me -p 2222 far"


def test_a_long_story_is_cut() -> None:
    assert len(failures.of_far("write", ADDRESS, "x" * 10_000).message) < 400
