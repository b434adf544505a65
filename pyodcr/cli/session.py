"""What every command needs from its surroundings: the engine, the log, and how an app of ours is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from pyodcr.cli.switches import Command
from pyodcr.config import Config
from pyodcr.engine import Engine
from pyodcr.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])

LEVELS = ("debug", "info", "warning", "error")
# options after the first argument belong to the container's command: `run IMAGE ls -l`
PASSES_ARGUMENTS = {"allow_interspersed_args": False}


class App(typer.Typer):
    """A Typer whose commands are :class:`~pyodcr.cli.switches.Command`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=Command, **settings)


def new_app(**settings: Any) -> App:
    """A Typer that neither loads rich nor offers completion scripts: both cost every command's start."""
    return App(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def log_at(level: str) -> None:
    if level.lower() not in LEVELS:
        raise UsageError(f'"{level}" is no log level', hint=f"one of {', '.join(LEVELS)}")
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")


def engine(ctx: typer.Context) -> Engine:
    """The engine the global options ask for, to be used in a ``with`` block."""
    config = ctx.find_object(Config)
    assert config is not None
    return Engine(config)
