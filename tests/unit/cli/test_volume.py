from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import Conflict, UsageError


def test_create_list_inspect_remove(
    said: Callable[..., str], found: Callable[..., Any], status: list[int], tmp_path: Path
) -> None:
    assert said("volume", "create", "data", "--label", "a=b", "-l", "c") == "data\n"
    anonymous = said("volume", "create").strip()
    assert len(anonymous) == 64
    assert said("volume", "ls").splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert sorted(said("volume", "ls", "--quiet").split()) == sorted(["data", anonymous])
    assert said("volume", "ls", "-q", "-f", "label=c").split() == ["data"]
    (shown,) = found("volume", "inspect", "data")
    assert shown["Labels"] == {"a": "b", "c": ""}
    assert shown["Mountpoint"] == str(tmp_path / "root/volumes/data/_data")
    assert (shown["Driver"], shown["Scope"], shown["Options"]) == ("local", "local", {})
    assert found("volume", "ls", "--format", "json", "--filter", "name=^data$") == [shown]
    assert said("volume", "rm", "data", anonymous).split() == ["data", anonymous]
    assert status == [0]
    assert said("volume", "ls") == ""
    assert not list((tmp_path / "root/volumes").iterdir())


def test_a_template_may_name_what_is_empty(said: Callable[..., str]) -> None:
    said("volume", "create", "v")
    assert said("volume", "inspect", "v", "--format", "{{.Anonymous}} {{.Labels}}") == "false map[]\n"
    assert said("volume", "ls", "--format", "table {{.Name}}\t{{.Anonymous}}").split() == [
        *("VOLUME", "NAME", "ANONYMOUS"),
        *("v", "false"),
    ]


def test_create_refuses(said: Callable[..., str]) -> None:
    said("volume", "create", "v")
    with pytest.raises(Conflict, match="volume with name v already exists"):
        said("volume", "create", "v")
    assert said("volume", "create", "--ignore", "v") == "v\n"
    for words in (("../v",), ("-d", "nfs", "w"), ("-o", "type=tmpfs", "w"), ("-l", "=b", "w")):
        with pytest.raises(UsageError):
            said("volume", "create", *words)
    assert said("volume", "ls", "-q") == "v\n"


def test_remove_tells_what_is_not_there(said: Callable[..., str], status: list[int]) -> None:
    said("volume", "create", "v")
    with pytest.raises(UsageError, match="choose either one or more volumes or all"):
        said("volume", "rm")
    with pytest.raises(UsageError):
        said("volume", "rm", "--all", "v")
    assert said("volume", "rm", "w", "v") == "v\n"
    assert status == [1]
    assert said("volume", "rm", "--force", "w") == ""
    assert status == [0]


def test_inspect_shows_the_rest(said: Callable[..., str], found: Callable[..., Any], status: list[int]) -> None:
    said("volume", "create", "v")
    assert [shown["Name"] for shown in found("volume", "inspect", "w", "v")] == ["v"]
    assert status == [125]
    assert said("volume", "inspect", "--all", "--format", "{{.Name}}") == "v\n"
