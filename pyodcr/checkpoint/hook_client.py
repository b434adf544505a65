"""What CRIU runs before it freezes anything, and before it lets go: ask the owner; the answer is the exit status.

Run as ``python -I -S -E hook_client.py DIRECTORY [FREEZER FROZEN THAWED]`` by a shell script that criu.conf names, as
a child of CRIU. The container is stopped while it runs, so it imports next to nothing. It **fails closed**: whatever
goes wrong (no owner, no heartbeat for 10 s, a broken pipe) is exit 1, and CRIU lets the container run on.

At ``post-dump`` CRIU alone holds the processes, by ptrace. Should it be killed they would run on at once, with the
network cut off and their TCP sockets in repair mode, where a read fails and a server dies of it. So the cgroup is
frozen as long as the answer takes: the word FROZEN into the file FREEZER, and THAWED before any exit.

Protocol, over the stream socket DIRECTORY/socket: one line of JSON to the owner; then any number of ``.``
(alive, still working) and at last ``0`` (go on) or ``1`` (refuse).
"""

import _socket
import os
import sys

HEARTBEAT_LOST_S = 10.0
HELD = "post-dump"


def ask(directory: str, stage: str) -> int:
    os.chdir(directory)  # a socket's address may hold 107 bytes, this path more
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(HEARTBEAT_LOST_S)
    connection.connect("socket")
    connection.sendall(f'{{"stage": "{stage}", "criu": {os.getppid()}}}\n'.encode())
    while answers := connection.recv(64):
        for answer in answers:
            if answer != ord("."):
                return 0 if answer == ord("0") else 1
    return 1  # the end of the stream: the owner is dead


def write(path: str, word: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, word.encode())
    os.close(fd)


def main(directory: str, freezer: str = "", frozen: str = "", thawed: str = "") -> int:
    stage = os.environ.get("CRTOOLS_SCRIPT_ACTION", "")
    if stage != HELD or not freezer:
        return ask(directory, stage)
    try:
        write(freezer, frozen)
        return ask(directory, stage)
    finally:
        write(freezer, thawed)


if __name__ == "__main__":
    try:
        status = main(*sys.argv[1:])
    except BaseException:
        status = 1
    os._exit(status)
