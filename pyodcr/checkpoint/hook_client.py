"""What CRIU runs before it freezes anything, and before it lets go: ask the owner; the answer is the exit status.

Run as ``python -I -S -E hook_client.py DIRECTORY [FREEZER FROZEN THAWED]`` by a shell script that criu.conf names, as
a child of CRIU. The container is stopped while it runs, so it imports next to nothing. It **fails closed**: whatever
goes wrong (no owner, no heartbeat for 10 s, a broken pipe) is exit 1, and CRIU lets the container run on.

At ``post-dump`` CRIU alone holds the processes, by ptrace. Should it be killed they would run on at once, with the
network cut off and their TCP sockets in repair mode, where a read fails and a server dies of it. So the cgroup is
frozen as long as the answer takes: the word FROZEN into the file FREEZER, and THAWED before the exit, as long as
there is a CRIU to act on it. Else the container stays frozen until its owner, or the guard, has mended all that.

Protocol, over the stream socket DIRECTORY/socket: one line of JSON to the owner; then any number of ``.``
(alive, still working) and at last ``0`` (go on) or ``1`` (refuse).
"""

import _socket
import os
import sys
import time

HEARTBEAT_LOST_S = 10.0
LAST_BREATH_S = 0.1  # what killed the owner may have killed CRIU too, which does not die in an instant
HELD = "post-dump"


def ask(directory: str, stage: str, criu: int) -> int:
    os.chdir(directory)  # a socket's address may hold 107 bytes, this path more
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(HEARTBEAT_LOST_S)
    connection.connect("socket")
    connection.sendall(f'{{"stage": "{stage}", "criu": {criu}}}\n'.encode())
    while answers := connection.recv(64):
        for answer in answers:
            if answer != ord("."):
                return 0 if answer == ord("0") else 1
    time.sleep(LAST_BREATH_S)
    return 1  # the end of the stream: the owner is dead


def write(path: str, word: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, word.encode())
    os.close(fd)


def main(directory: str, freezer: str = "", frozen: str = "", thawed: str = "") -> int:
    stage, criu = os.environ.get("CRTOOLS_SCRIPT_ACTION", ""), os.getppid()
    if stage != HELD or not freezer:
        return ask(directory, stage, criu)
    try:
        write(freezer, frozen)
        return ask(directory, stage, criu)
    finally:
        if os.getppid() == criu:
            write(freezer, thawed)


if __name__ == "__main__":
    try:
        status = main(*sys.argv[1:])
    except BaseException:
        status = 1
    os._exit(status)
