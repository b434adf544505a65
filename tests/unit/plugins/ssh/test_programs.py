"""The programs in each shell that is here; that they do what they should is the contract suite's affair."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pyodcr_ssh import programs

SHELLS = [argv for argv in (["sh"], ["bash"], ["dash"], ["busybox", "sh"]) if shutil.which(argv[0])]
BODIES = [name for name, value in vars(programs).items() if name.isupper() and isinstance(value, str)]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("name", BODIES)
def test_it_can_be_parsed(name: str, shell: list[str]) -> None:
    program = programs.whole(getattr(programs, name))
    subprocess.run([*shell, "-n"], input=program, check=True)


@pytest.mark.parametrize("path", ["a'b", "-n", "$(exit)", "a\nb\n", "\\", "!", "é"])
def test_it_takes_itself_and_not_a_byte_more(path: str, tmp_path: Path) -> None:
    program = programs.whole('say "$path"; cat', path=path)
    done = subprocess.run(shlex.split(programs.command(program))[1:], input=program + b"the rest", capture_output=True)
    assert done.stdout == programs.MARK + path.encode() + b"\0the rest"


def test_the_command_holds_nothing_of_the_users() -> None:
    one, other = (programs.whole(programs.STAT, path=path) for path in ("/srv/a", "/srv/b"))
    assert programs.command(one) == programs.command(other)
