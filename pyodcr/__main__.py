"""The process: its signals, its last line of defence against errors, and its exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from pyodcr.errors import Interrupted, PyodcrError, SystemFailed

ENGINE_FAILED = 125
POLITE_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Prints whatever goes wrong."""
    _open_standard_streams()
    for number in POLITE_SIGNALS:
        signal.signal(number, _interrupted)
    try:
        from typer.main import get_command

        from pyodcr.cli.app import app

        command = get_command(app)
        # not its main(): that makes errors of a broken pipe and of Ctrl-C into exit statuses of its own
        with command.make_context("pyodcr", arguments) as context:
            status = command.invoke(context)
        _flush()
        return status if isinstance(status, int) else 0
    except PyodcrError as error:
        from pyodcr.cli.failures import exit_status, report

        report(error)
        return exit_status(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # the reader of our output went away, as `pyodcr ps | head -1` does
        _discard_output()
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _usage_or_bug(error)


def _open_standard_streams() -> None:
    """Give those that were closed at our start /dev/null, as Go's runtime does for Podman.

    Else the next file that is opened gets their number, and what is printed. ``sys.__stdout__`` stays None: an
    archive is not to be written there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  it lives as long as the process


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise SystemFailed(f"cannot write to standard output: {str(error.strerror).lower()}") from error


def _discard_output() -> None:
    """What is still to be printed goes nowhere; the interpreter would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_or_bug(error: Exception) -> int:
    import typer
    from typer.exceptions import TyperException

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, TyperException):
        usage = getattr(error, "ctx", None)
        is_help = type(error).__name__ == "NoArgsIsHelpError"
        print(error.format_message() if is_help else f"error: {_sentence(error.format_message())}", file=sys.stderr)
        if usage is not None and not is_help:
            print(f"hint: {usage.command_path} --help", file=sys.stderr)
        return ENGINE_FAILED
    logging.getLogger("pyodcr").debug("bug", exc_info=error)
    print(f"error: bug in pyodcr: {type(error).__name__}: {error}", file=sys.stderr)
    print("hint: run it again with --log-level debug, and report what it prints", file=sys.stderr)
    return ENGINE_FAILED


def _sentence(message: str) -> str:
    """Typer's message in our form: lower case, and no full stop."""
    return message[:1].lower() + message[1:].removesuffix(".")


def _interrupted(number: int, _: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}", signal=number)


if __name__ == "__main__":
    main()
