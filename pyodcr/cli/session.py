"""What every command needs from its surroundings: the engine, the log, and how an app of ours is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from pyodcr.cli.switches import Command
from pyodcr.config import Config
from pyodcr.engine import Engine
from pyodcr.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])

LEVELS = ("debug", "info", "warning", "error")
# options after the first argument belong to the container's command: `run IMAGE ls -l`
PASSES_ARGUMENTS = {"allow_interspersed_args": False}


class Group(TyperGroup):
    """Lists each command with the first sentence of its help, whole; answers a typing error with what is near."""

    def visible(self) -> dict[str, str]:
        """The commands to show, and what the list says of them."""
        return {
            name: " ".join((command.help or "").partition("\n\n")[0].split()).removesuffix(".")
            for name, command in self.commands.items()
            if not command.hidden
        }

    def knows(self, name: str) -> bool:
        return name in self.commands

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.visible().items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not self.knows(args[0]):
            from difflib import get_close_matches

            near = " or ".join(get_close_matches(args[0], self.visible(), n=2))
            hint = f"did you mean {near}?" if near else f"{ctx.command_path} --help lists them"
            raise UsageError(f'{ctx.command_path} has no command "{args[0]}"', hint=hint)
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A Typer whose commands are :class:`~pyodcr.cli.switches.Command`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=Command, **settings)


def new_app(*, cls: type[Group] = Group, **settings: Any) -> App:
    """A Typer that neither loads rich nor offers completion scripts: both cost every command's start."""
    return App(
        cls=cls,
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
