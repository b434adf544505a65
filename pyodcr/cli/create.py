"""create and run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from pyodcr.cli.attached import follow, started
from pyodcr.cli.createflags import takes_create_options
from pyodcr.cli.session import PASSES_ARGUMENTS, engine, new_app
from pyodcr.engine import Engine
from pyodcr.errors import Conflict, NotFound, PyodcrError, UsageError
from pyodcr.lifecycle.models import Container
from pyodcr.lifecycle.options import CreateOptions

app = new_app()


def _create(found: Engine, options: CreateOptions, cidfile: Path | None) -> Container:
    if cidfile is None:
        return found.create(options)
    try:
        with cidfile.open("x", encoding="ascii") as target:
            container = found.create(options)
            target.write(container.id)
    except FileExistsError as error:
        raise Conflict(f"container id file exists: {cidfile}", code="cidfile-exists") from error
    except OSError as error:
        raise UsageError(f"cannot write {cidfile}: {error.strerror}") from error
    except PyodcrError:
        cidfile.unlink(missing_ok=True)
        raise
    return container


@app.command(context_settings=PASSES_ARGUMENTS)
@takes_create_options
def create(ctx: typer.Context, options: CreateOptions, cidfile: Path | None) -> None:
    """Create a container without starting it, and print its ID."""
    with engine(ctx) as found:
        print(_create(found, options, cidfile).id)


@contextmanager
def _discarded_unless_started(found: Engine, container: Container) -> Iterator[None]:
    """Remove a ``--rm`` container whose start fails or is interrupted; once it runs, only its own end removes it."""
    try:
        yield
    except BaseException:
        if container.config.auto_remove:
            found.discard(container.id)
        raise


@app.command(context_settings=PASSES_ARGUMENTS)
@takes_create_options
def run(
    ctx: typer.Context,
    options: CreateOptions,
    cidfile: Path | None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the ID and leave it running")] = False,
    attach: Annotated[list[str] | None, typer.Option("--attach", "-a", help="stdin, stdout, stderr")] = None,
    detach_keys: Annotated[str | None, typer.Option(help="Keys that detach, for instance ctrl-p,ctrl-q")] = None,
    sig_proxy: Annotated[bool, typer.Option(help="Pass our signals on to it")] = True,
) -> None:
    """Create a container and start it; the exit status is its own.

    125: pyodcr failed; 126: the command cannot be run; 127: there is no such command.
    """
    if detach and attach:
        raise UsageError("--detach and --attach cannot be used together")
    with engine(ctx) as found:
        container = _create(found, options, cidfile)
        with _discarded_unless_started(found, container):
            if detach:
                found.start(container.id)
            else:
                container, attachment = started(found, container.id)
        if detach:
            print(container.id)
            return
        stdin = options.interactive and (not attach or "stdin" in attach)
        status = follow(found, container, attachment, stdin=stdin, detach_keys=detach_keys, sig_proxy=sig_proxy)
        if options.rm:  # conmon's exit command does it too: whoever is first
            with suppress(NotFound):
                found.cleanup(container.id)
    raise typer.Exit(status)
