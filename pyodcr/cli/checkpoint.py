"""checkpoint."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pyodcr import jsonio
from pyodcr.checkpoint.options import DumpOptions, Outcome, parse_compression
from pyodcr.cli import progress
from pyodcr.cli.failures import for_each
from pyodcr.cli.lifecycle import All, Names, chosen
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Status

app = new_app()

EMPTY_HINT = "is a variable unset? give a path, - or s3://BUCKET/KEY"
DUMP_KEYS = ("freezing_time", "frozen_time", "memdump_time", "memwrite_time", "pages_scanned", "pages_written")


@app.command()
def checkpoint(
    ctx: typer.Context,
    names: Names = None,
    all_: All = False,
    leave_running: Annotated[bool, typer.Option("--leave-running", "-R", help="Let it run on afterwards")] = False,
    export: Annotated[str | None, typer.Option("--export", "-e", help="Archive: a path, - or s3://BUCKET/KEY")] = None,
    compress: Annotated[str | None, typer.Option("--compress", "-c", help="zstd, gzip or none")] = None,
    keep: Annotated[bool, typer.Option("--keep", "-k", help="Keep CRIU's images and logs here too")] = False,
    tcp_established: Annotated[bool, typer.Option(help="Also with established TCP connections")] = False,
    file_locks: Annotated[bool, typer.Option(help="Also with file locks held")] = False,
    ignore_rootfs: Annotated[bool, typer.Option(help="Leave the root filesystem's changes out")] = False,
    ignore_volumes: Annotated[bool, typer.Option(help="Leave the volumes' content out")] = False,
    max_frozen: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up and let it run on after that (default with -R: 60; 0: never)"),
    ] = None,
    print_stats: Annotated[bool, typer.Option(help="Print statistics as JSON")] = False,
    style: Annotated[progress.Style, typer.Option("--progress", help="How to show progress")] = progress.Style.AUTO,
) -> None:
    """Freeze containers and write them, memory and files, to disk, into a pipe or to S3.

    A container is stopped only when its checkpoint is complete and durable; whatever fails, it runs on.
    """
    if export == "":
        raise UsageError("--export is empty", hint=EMPTY_HINT)
    if compress is not None and not export:
        raise UsageError("--compress can only be used with --export")
    options = DumpOptions(
        export=export or "",
        compression=parse_compression(compress or "zstd"),
        leave_running=leave_running,
        keep=keep,
        tcp_established=tcp_established,
        file_locks=file_locks,
        ignore_rootfs=ignore_rootfs,
        ignore_volumes=ignore_volumes,
        max_frozen_s=max_frozen,
    )
    done: list[Outcome] = []
    # the archive may be on standard output: then everything else goes to standard error
    out = sys.stderr if export == "-" else sys.stdout
    with engine(ctx) as found:
        refs = chosen(found, names, all_, {Status.RUNNING}, down=True)
        if export and len(refs) > 1:
            raise UsageError("--export takes one container: each needs an archive of its own")

        def act(ref: str) -> None:
            with progress.shown(style, ref) as shown:
                outcome = found.checkpoint(ref, options, shown)
            done.append(outcome)
            for warning in outcome.warnings:
                print(f"warning: {warning}", file=sys.stderr)
            if not print_stats:
                print(ref, file=out)

        try:
            for_each(refs, act)
        finally:
            if print_stats:
                print(jsonio.dumps(statistics("checkpoint", done, DUMP_KEYS), indent=4), file=out)


def statistics(verb: str, outcomes: list[Outcome], keys: tuple[str, ...]) -> dict[str, Any]:
    """Podman's --print-stats object (times in microseconds), and ours beside it under ``pyodcr``."""
    return {
        f"podman_{verb}_duration": sum(outcome.duration_us for outcome in outcomes),
        "container_statistics": [
            {
                "Id": outcome.container.id,
                f"runtime_{verb}_duration": outcome.runtime_us,
                "criu_statistics": {name: outcome.statistics[name] for name in keys if outcome.statistics.get(name)},
                "pyodcr": {
                    "archive": outcome.archive,
                    "archive_bytes": outcome.archive_bytes,
                    "content_bytes": outcome.content_bytes,
                    "held_us": outcome.frozen_us,
                    "staging": outcome.staging,
                },
            }
            for outcome in outcomes
        ],
    }
