"""Closing an operation must not hide why it ended, and what it leaves is its guard's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.checkpoint import guard
from pyodcr.checkpoint.undertaking import Undertaking
from pyodcr.config import Config
from pyodcr.errors import CriuFailed, SystemFailed
from pyodcr.lifecycle.context import Context
from pyodcr.lifecycle.operations import Operation, opened_import
from pyodcr.linux import files, pidfd, processes


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    made = Context(Config(root=tmp_path / "root", runroot=tmp_path / "run"))
    yield made
    made.close()


@pytest.fixture
def operation(ctx: Context) -> Operation:
    made = opened_import()
    ctx.db.put_operation(made)
    return made


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process cannot remove its staging directory."""

    def refuse(path: Path) -> None:
        raise SystemFailed(f"cannot remove {path}: device or resource busy")

    monkeypatch.setattr(files, "remove_tree", refuse)


def guards(operation: Operation) -> tuple[int, ...]:
    return tuple(pid for pid in processes.with_argument(operation.id) if guard.__file__ in processes.arguments(pid))


def test_a_guard_watches_as_long_as_it_is_open(ctx: Context, operation: Operation) -> None:
    with Undertaking(ctx, operation):
        (watching,) = guards(operation)
        assert os.getsid(watching) == watching, "it hears nothing of the terminal"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(watching, number)
    assert ctx.db.operations() == []
    assert pidfd.wait(watching, 0, 0), "it was waited for"


@pytest.mark.usefixtures("stubborn")
def test_the_first_error_is_told_and_the_guard_does_the_rest(ctx: Context, operation: Operation) -> None:
    files.make_directory(ctx.paths.staging(operation.id))
    with pytest.raises(CriuFailed, match="the first"), Undertaking(ctx, operation):
        raise CriuFailed("the first")
    assert ctx.db.operations() == []
    assert not ctx.paths.staging(operation.id).exists()


@pytest.mark.usefixtures("stubborn")
def test_where_all_else_went_well_it_is_an_error(ctx: Context, operation: Operation) -> None:
    with pytest.raises(SystemFailed, match="busy"), Undertaking(ctx, operation):
        pass


def test_what_is_not_settled_is_recovered_though_this_process_lives(ctx: Context, operation: Operation) -> None:
    with Undertaking(ctx, operation) as own:
        own.settled = False
    assert ctx.db.operations() == []


@pytest.mark.usefixtures("stubborn")
def test_without_a_guard_the_row_stays_and_is_nobodys(ctx: Context, operation: Operation) -> None:
    with pytest.raises(SystemFailed), Undertaking(ctx, operation):
        os.kill(guards(operation)[0], signal.SIGKILL)
    (left,) = ctx.db.operations()
    assert not left.owner_lives


def test_a_guard_that_waits_for_our_end_is_not_waited_for(
    ctx: Context, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row cannot be given up, so it names us until we are dead."""

    def refuse(operation: Operation) -> None:
        raise SystemFailed("disk I/O error")

    with Undertaking(ctx, operation) as own:
        own.settled = False
        monkeypatch.setattr(ctx.db, "put_operation", refuse)
    (watching,) = guards(operation)
    try:
        assert ctx.db.operations() == [operation]
    finally:
        os.kill(watching, signal.SIGKILL)
        os.waitpid(watching, 0)
