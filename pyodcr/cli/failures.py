"""How errors are printed, and which exit status they make.

Exit statuses are Podman's: 125 pyodcr itself failed, 126 and 127 a command that could not be run or found,
128+N a signal, else the container's own. Scripts tell failures apart by the error's code:
``PYODCR_ERROR_FORMAT=json`` prints errors as JSON, ``--log-level debug`` adds the traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable

import typer

from pyodcr.errors import Interrupted, PyodcrError, SystemFailed

EXEC_STATUS = {"command-not-executable": 126, "command-not-found": 127}


def report(error: PyodcrError) -> None:
    """Print an error: one line, then what to do about it."""
    logging.getLogger("pyodcr").debug("error %s %s", error.code, error.details, exc_info=error)
    hint = error.hint
    if hint is None and isinstance(error, SystemFailed) and os.geteuid() != 0:
        hint = "pyodcr needs root: use sudo"
    if os.environ.get("PYODCR_ERROR_FORMAT") == "json":
        from pyodcr import jsonio

        value = {"error": error.message, "code": error.code, "hint": hint, "details": error.details}
        print(jsonio.dumps(value), file=sys.stderr)
        return
    print(f"error: {error.message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def exit_status(error: PyodcrError) -> int:
    if isinstance(error, Interrupted):
        return 128 + int(str(error.details.get("signal", 0)))
    return EXEC_STATUS.get(error.code, error.exit_status)


def for_each(
    refs: Iterable[str],
    act: Callable[[str], None],
    *,
    ignoring: type[PyodcrError] | None = None,
    status: Callable[[PyodcrError], int] = exit_status,
) -> None:
    """Several containers in one command: each is tried, each failure told, and the last one gives the exit status."""
    last: PyodcrError | None = None
    for ref in refs:
        try:
            act(ref)
        except Interrupted:
            raise
        except PyodcrError as error:
            if ignoring is None or not isinstance(error, ignoring):
                report(error)
                last = error
    if last is not None:
        raise typer.Exit(status(last))
