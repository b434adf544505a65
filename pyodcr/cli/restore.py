"""restore."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pyodcr import jsonio
from pyodcr.checkpoint.options import Outcome, RestoreOptions
from pyodcr.cli import progress
from pyodcr.cli.checkpoint import EMPTY_HINT, statistics
from pyodcr.cli.failures import for_each
from pyodcr.cli.lifecycle import All, Names, chosen
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Status

app = new_app()

RESTORE_KEYS = ("pages_compared", "pages_skipped_cow", "forking_time", "restore_time", "pages_restored")


@app.command()
def restore(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    archive: Annotated[str | None, typer.Option("--import", "-i", help="Archive: a path, - or s3://BUCKET/KEY")] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="With --import: a copy with this name")] = "",
    tcp_established: Annotated[bool, typer.Option(help="Restore established TCP connections")] = False,
    file_locks: Annotated[bool, typer.Option(help="Restore file locks")] = False,
    keep: Annotated[bool, typer.Option("--keep", "-k", help="Keep the local images and logs")] = False,
    ignore_rootfs: Annotated[bool, typer.Option(help="Do not apply the root filesystem's changes")] = False,
    ignore_volumes: Annotated[bool, typer.Option(help="Do not fill volumes")] = False,
    ignore_static_ip: Annotated[bool, typer.Option("--ignore-static-ip", help="Take a new IP address")] = False,
    ignore_static_mac: Annotated[bool, typer.Option("--ignore-static-mac", help="Take a new MAC address")] = False,
    publish: Annotated[list[str] | None, typer.Option("--publish", "-p", help="Replace the published ports")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="With --import: the archive is yours; take over what it uses of this host")
    ] = False,
    print_stats: Annotated[bool, typer.Option(help="Print statistics as JSON")] = False,
    style: Annotated[progress.Style, typer.Option("--progress", help="How to show progress")] = progress.Style.AUTO,
) -> None:
    """Bring checkpointed containers back, running where they stopped.

    Without --import: from local images, or from the archive they went into. With it: from that archive,
    on this host or another; a failed restore leaves the archive as it was and nothing else behind.
    """
    if archive == "":
        raise UsageError("--import is empty", hint=EMPTY_HINT)
    source = archive or ""
    options = RestoreOptions(
        source=source,
        name=name,
        keep=keep,
        tcp_established=tcp_established,
        file_locks=file_locks,
        ignore_rootfs=ignore_rootfs,
        ignore_volumes=ignore_volumes,
        ignore_static_ip=ignore_static_ip,
        ignore_static_mac=ignore_static_mac,
        publish=tuple(publish or ()),
        trust=trust,
    )
    if source and all_:
        raise UsageError("cannot use --import with --all")
    if source and names:
        raise UsageError("cannot use --import with positional arguments")
    done: list[Outcome] = []
    with engine(ctx) as found:

        def warn(line: str) -> None:
            print(f"warning: {line}", file=sys.stderr)

        def act(ref: str) -> None:
            with progress.shown(style, ref or source) as shown:
                outcome = found.restore(ref, options, shown, warn)
            done.append(outcome)
            if not print_stats:
                print(outcome.container.id if source or all_ else ref)

        try:
            if source:
                act("")
            else:
                for_each(chosen(found, names, all_, {Status.EXITED}), act)
        finally:
            if print_stats:
                print(jsonio.dumps(statistics("restore", done, RESTORE_KEYS), indent=4))
