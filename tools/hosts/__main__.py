"""`tools/testhost build | enter | second`: see docs/testing.md."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import cache, second, session
from .build import ensure_tree
from .errors import HostError
from .venv import ensure_venv


def main(argv: Sequence[str]) -> int:
    """Parse, do, and turn what went wrong into a line and a status."""
    options = _parser().parse_args(argv)
    os.umask(0o022)
    try:
        status: int = options.run(options)
    except HostError as error:
        print(f"testhost: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return session.FAILED
    except OSError as error:
        print(f"testhost: {error}", file=sys.stderr)
        return session.FAILED
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="testhost", description="The host that pyodcr's tests and demo run in.")
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="make the tree and the Python environment, if they are not there yet")
    build.set_defaults(run=_build)
    clean = commands.add_parser("clean", help="remove the cache: tree, environment, downloads")
    clean.set_defaults(run=_clean)
    enter = commands.add_parser("enter", help="run a command in a fresh test host")
    enter.add_argument("--name", default="hosta", help="host name (default: %(default)s)")
    enter.add_argument("--keep", action="store_true", help="leave the scratch directory for a look afterwards")
    enter.add_argument("command", nargs="+")
    enter.set_defaults(run=_enter)
    other = commands.add_parser("second", help="inside the test host: run a command in another host beside it")
    other.add_argument("--name", default="hostb", help="host name (default: %(default)s)")
    other.add_argument("--address", default="10.99.0.2/24", help="address and prefix length (default: %(default)s)")
    other.add_argument("--alone", action="store_true", help="without a cable: its network is a loopback")
    other.add_argument("command", nargs="*", help="without one: say how to join it, live until stdin ends")
    other.set_defaults(run=_second)
    return parser


def _prepare() -> tuple[cache.Cache, Path, Path]:
    of_machine = cache.Cache.of_machine()
    tree = ensure_tree(of_machine)
    return of_machine, tree, ensure_venv(of_machine, tree)


def _build(_options: argparse.Namespace) -> int:
    _prepare()
    return 0


def _clean(_options: argparse.Namespace) -> int:
    cache.clean(cache.Cache.of_machine())
    return 0


def _enter(options: argparse.Namespace) -> int:
    of_machine, tree, venv = _prepare()
    return session.enter(of_machine, tree, venv, options.command, name=options.name, keep=options.keep)


def _second(options: argparse.Namespace) -> int:
    idle = not options.command
    address = "" if options.alone else options.address
    return second.run(options.command or ["cat"], name=options.name, address=address, idle=idle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
