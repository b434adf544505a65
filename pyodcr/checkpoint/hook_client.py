"""What CRIU runs before it freezes anything, and before it lets go: ask the owner; the answer is the exit status.

Run as ``python -I -S -E hook_client.py DIRECTORY`` by a shell script that criu.conf names, as a child of CRIU.
The container is stopped while it runs, so it imports next to nothing. It **fails closed**: whatever goes wrong
(no owner, no heartbeat for 10 s, a broken pipe) is exit 1, and CRIU lets the container run on.

Protocol, over the stream socket DIRECTORY/socket: one line of JSON to the owner; then any number of ``.``
(alive, still working) and at last ``0`` (go on) or ``1`` (refuse).
"""

import _socket
import os
import sys

HEARTBEAT_LOST_S = 10.0


def ask(directory: str) -> int:
    os.chdir(directory)  # a socket's address may hold 107 bytes, this path more
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(HEARTBEAT_LOST_S)
    connection.connect("socket")
    stage = os.environ.get("CRTOOLS_SCRIPT_ACTION", "")
    connection.sendall(f'{{"stage": "{stage}", "criu": {os.getppid()}}}\n'.encode())
    while answers := connection.recv(64):
        for answer in answers:
            if answer != ord("."):
                return 0 if answer == ord("0") else 1
    return 1  # the end of the stream: the owner is dead


if __name__ == "__main__":
    try:
        status = ask(sys.argv[1])
    except BaseException:
        status = 1
    os._exit(status)
