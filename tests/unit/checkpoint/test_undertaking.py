"""Closing an operation must not hide why it ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.checkpoint.undertaking import Undertaking
from pyodcr.config import Config
from pyodcr.errors import CriuFailed, SystemFailed
from pyodcr.lifecycle.context import Context
from pyodcr.lifecycle.operations import opened_import
from pyodcr.linux import files


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    made = Context(Config(root=tmp_path / "root", runroot=tmp_path / "run"))

    def refuse(path: Path) -> None:
        raise SystemFailed(f"cannot remove {path}: device or resource busy")

    monkeypatch.setattr(files, "remove_tree", refuse)
    yield made
    made.close()


def test_the_first_error_is_told_and_the_row_stays(ctx: Context) -> None:
    operation = opened_import()
    ctx.db.put_operation(operation)
    with pytest.raises(CriuFailed, match="the first"), Undertaking(ctx, operation):
        raise CriuFailed("the first")
    assert ctx.db.operations() == [operation]


def test_where_all_else_went_well_it_is_an_error(ctx: Context) -> None:
    with pytest.raises(SystemFailed, match="busy"), Undertaking(ctx, opened_import()):
        pass
