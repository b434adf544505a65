from __future__ import annotations

import pytest

from pyodcr.errors import UsageError
from pyodcr_ssh.address import Address, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://far/srv/c", Address("", "far", None, "/srv/c")),
        ("ssh://me@far.example.net:2222/c", Address("me", "far.example.net", 2222, "/c")),
        ("ssh://me@corp@far/c", Address("me@corp", "far", None, "/c")),
        ("ssh://CORP\\me@far/c", Address("CORP\\me", "far", None, "/c")),
        ("ssh://[fe80::1%eth0]:22/c", Address("", "fe80::1%eth0", 22, "/c")),
        ("ssh://far/~/c", Address("", "far", None, "/~/c")),
        ("ssh://far//c d%20?#\n", Address("", "far", None, "//c d%20?#\n")),
    ],
)
def test_what_a_url_names(text: str, address: Address) -> None:
    assert parse(text) == address
    assert address.url == text  # nothing is decoded, so nothing can be lost
    assert parse("SSH" + text[3:]).url == text


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://far",
        "ssh://far/",
        "ssh://far/dir/",
        "ssh://far/..",
        "ssh://far/dir/.",
        "ssh://far/~",
        "ssh:///c",
        "ssh://me@/c",
        "ssh://@far/c",
        "ssh://far:/c",
        "ssh://far:0/c",
        "ssh://far:65536/c",
        "ssh://far:x/c",
        "ssh://-oProxyCommand=touch/c",
        "ssh://-l@far/c",
        "ssh://$(id)@far/c",
        "ssh://a;b/c",
        "ssh://far far/c",
        "ssh://fe80::1/c",
        "ssh://[far]/c",
        "ssh://[::1/c",
    ],
)
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.code == "usage"
    assert caught.value.hint


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse("ssh://me:secret@far/c")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_words_for_ssh() -> None:
    assert parse("ssh://me@far:2222/c").words == ["-l", "me", "-p", "2222", "--", "far"]
    assert parse("ssh://[::1]/c").words == ["--", "::1"]


@pytest.mark.parametrize(
    ("path", "there"), [("/srv/-c", "/srv/-c"), ("/~/-c", "./-c"), ("/~/a/c", "./a/c"), ("/~you/c", "/~you/c")]
)
def test_no_path_looks_like_an_option(path: str, there: str) -> None:
    assert parse(f"ssh://far{path}").far_path == there


def test_its_neighbours() -> None:
    assert parse("ssh://me@far/a/b/c").beside("d e") == "ssh://me@far/a/b/d e"
    assert parse("ssh://far/~/c").beside("d") == "ssh://far/~/d"
