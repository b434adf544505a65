"""``--switch=false``, as Podman's users write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pyodcr.cli.switches import Switch, rewritten
from pyodcr.errors import UsageError

SWITCHES = {
    "--tls": Switch("--tls", "--no-tls"),
    "--no-tls": Switch("--no-tls", "--tls"),
    "--quiet": Switch("--quiet"),
    "-q": Switch("--quiet"),
    "-i": Switch("-i"),
}
OTHERS = frozenset({"--env", "-e"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tls=false", "x"], ["--no-tls", "x"]),
        (["--tls=T", "x"], ["--tls", "x"]),
        (["--no-tls=0", "x"], ["--tls", "x"]),
        (["--quiet=false", "-q=true", "x"], ["--quiet", "x"]),
        (["--env=quiet=false", "x"], ["--env=quiet=false", "x"]),
        (["--env", "--tls=false", "x"], ["--env", "--tls=false", "x"]),
        (["-ie", "--tls=false", "x"], ["-ie", "--tls=false", "x"]),
        (["-eA=b", "--tls=false", "x"], ["-eA=b", "--no-tls", "x"]),
        (["--env"], ["--env"]),
        (["x", "--", "--tls=false"], ["x", "--", "--tls=false"]),
        (["--unknown=false", "-"], ["--unknown=false", "-"]),
    ],
)
@pytest.mark.parametrize("interspersed", [True, False])
def test_rewritten(words: Sequence[str], expected: Sequence[str], interspersed: bool) -> None:
    assert list(rewritten(words, SWITCHES, OTHERS, interspersed=interspersed)) == expected


def test_the_containers_own_words_stay() -> None:
    words = ["--quiet=true", "-e", "A=b", "image", "prog", "--tls=false"]
    assert list(rewritten(words, SWITCHES, OTHERS, interspersed=False)) == ["--quiet", *words[1:]]
    assert list(rewritten(words, SWITCHES, OTHERS, interspersed=True)) == ["--quiet", *words[1:-1], "--no-tls"]


def test_on_the_command_line(said: Callable[..., str]) -> None:
    said("volume", "create", "v")
    assert said("volume", "ls", "--quiet=true") == "v\n"
    assert said("volume", "ls", "--noheading=true", "-q=false").split() == ["local", "v"]
    with pytest.raises(UsageError, match='invalid argument "maybe" for "--quiet"'):
        said("volume", "ls", "--quiet=maybe")
