"""How far the pull or import of an image is: a bar for each layer on a terminal; warnings always."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pyodcr.checkpoint.options import no_progress
from pyodcr.cli import progress
from pyodcr.lifecycle.storage.progress import Phase, Progress, Step


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Progress]:
    style = progress.Style.NONE if quiet else progress.Style.AUTO
    with ExitStack() as bars:
        label, advance = "", no_progress

        def report(step: Step) -> None:
            nonlocal label, advance
            if step.phase is Phase.WARNING:
                print(f"warning: {step.subject}", file=sys.stderr)
                return
            if label != f"{step.phase} {step.subject}":
                bars.close()
                label = f"{step.phase} {step.subject}"
                advance = bars.enter_context(progress.shown(style, label))
            advance(step.done_bytes, step.total_bytes)

        yield report
