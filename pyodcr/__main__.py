"""The process: its signals, its last line of defence against errors, and its exit status."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from types import FrameType

from pyodcr.errors import Interrupted, PyodcrError, SystemFailed, UsageError

ENGINE_FAILED = 125
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
POLITE_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Prints whatever goes wrong."""
    _open_standard_streams()
    for number in POLITE_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a parent, wants it ignored
            signal.signal(number, _interrupted)
    try:
        from typer.main import get_command

        from pyodcr.cli.app import app

        command = get_command(app)
        # not its main(): that makes errors of a broken pipe and of Ctrl-C into exit statuses of its own
        with command.make_context("pyodcr", arguments) as context:
            status = command.invoke(context)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except PyodcrError as error:
        return _told(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # the reader of our output went away, as `pyodcr ps | head -1` does
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in NO_SPACE:
            return _usage_or_bug(error)
        _discard_output()
        return _told(SystemFailed(f"cannot write: {str(error.strerror).lower()}", code="no-space"))
    except Exception as error:
        return _usage_or_bug(error)


def _told(error: PyodcrError) -> int:
    from pyodcr.cli.failures import exit_status, report

    report(error)
    return exit_status(error)


def _open_standard_streams() -> None:
    """Give those that were closed at our start /dev/null, as Go's runtime does for Podman.

    Else the next file that is opened gets their number, and what is printed. ``sys.__stdout__`` stays None: an
    archive is not to be written there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  it lives as long as the process


def _discard_output() -> None:
    """What is still to be printed goes nowhere; the interpreter would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_or_bug(error: Exception) -> int:
    import typer
    from typer.exceptions import TyperException

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, TyperException):
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            return ENGINE_FAILED
        usage = getattr(error, "ctx", None)
        hint = f"{usage.command_path} --help" if usage else None
        return _told(UsageError(_sentence(error.format_message()), hint=hint))
    logging.getLogger("pyodcr").debug("bug", exc_info=error)
    return _told(
        PyodcrError(
            f"bug in pyodcr: {type(error).__name__}: {error}",
            hint="run it again with --log-level debug, and report what it prints",
        )
    )


def _sentence(message: str) -> str:
    """Typer's message in our form: lower case, and no full stop."""
    return message[:1].lower() + message[1:].removesuffix(".")


def _interrupted(number: int, _: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}", signal=number)


if __name__ == "__main__":
    main()
