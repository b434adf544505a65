"""The guard of an operation: a process that outlives its owner, and mends at once what the owner can no longer.

It does nothing but wait at the other end of a pipe, so it is small (some 9 MiB), and nothing that goes wrong in a
checkpoint or restore goes wrong in it. A byte says that all is settled. The end of the pipe without it means that the
owner was killed, or had to leave the operation as it was: then the guard becomes COMMAND, which recovers it.

Run as ``python -I -S -E guard.py COMMAND...``, in a session of its own, deaf to what a terminal or a service manager
sends to everybody. Should it be killed too, the next verb on the container recovers the operation in the same way.
"""

import _signal  # type: ignore[import-not-found]  # as signal, without its 2 MiB of enum
import os
import sys

SETTLED = b"."
DEAF_TO = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def guard(command: list[str]) -> None:
    for number in DEAF_TO:
        _signal.signal(number, _signal.SIG_IGN)
    if os.read(0, 1) != SETTLED:
        os.execv(command[0], command)


if __name__ == "__main__":
    guard(sys.argv[1:])
