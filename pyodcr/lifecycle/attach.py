"""The client's side of conmon's attach socket: bytes in, bytes out, until it ends or the user detaches.

Each packet from conmon begins with a byte that says which stream it was (2: stdout, 3: stderr); what we send is
the container's standard input as it stands. A half-closed socket closes that input (conmon's ``conn_sock.c``).
"""

from __future__ import annotations

import os
import select
import socket
from dataclasses import dataclass
from pathlib import Path

from pyodcr.errors import SystemFailed, UsageError

STDOUT, STDERR = 2, 3
PACKET_BYTES = 1 << 16
CONTROL_KEYS = "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"  # ctrl and the key is the byte of its place here
STDIN_BYTES = 8192  # conmon reads no more at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """File descriptors of the user's end; None: not attached. ``detach_keys`` are the raw bytes that detach."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    detach_keys: bytes = b"\x10\x11"  # ctrl-p ctrl-q


class Attachment:
    """A connection to one container's (or exec session's) monitor."""

    def __init__(self, bundle: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # a socket's address may hold 107 bytes, a bundle's path more: go through a descriptor of it
            self._socket.connect(f"/proc/self/fd/{directory}/attach")
        except OSError as error:
            self._socket.close()
            raise SystemFailed(f"cannot attach to {bundle.name}: {str(error.strerror).lower()}") from error
        finally:
            os.close(directory)

    def close(self) -> None:
        self._socket.close()

    def pump(self, streams: Streams) -> bool:
        """Copy both ways until conmon closes (False) or the detach keys are typed (True).

        Nothing more is read from the user while conmon does not take what was: it does both ways in one
        thread as we do, and if each waited for the other to read, neither would.
        """
        keys = KeyWatch(streams.detach_keys)
        reading, pending = streams.stdin is not None, b""
        while True:
            typed, answered, writable = self._poll(
                streams.stdin if reading and not pending else None, sending=bool(pending)
            )
            if answered and not self._output(streams):
                return False
            if writable:
                pending = pending[self._send(pending) :]
            if typed and streams.stdin is not None:
                data = _read(streams.stdin)
                if not data:
                    reading = False
                    self._half_close()
                pending, detached = keys.feed(data)
                if detached:
                    return True

    def _poll(self, stdin: int | None, *, sending: bool) -> tuple[bool, bool, bool]:
        """Wait; whether something was typed, whether conmon has something for us, and whether it takes more."""
        poller, own = select.poll(), self._socket.fileno()
        poller.register(own, select.POLLIN | (select.POLLOUT if sending else 0))
        if stdin is not None:
            poller.register(stdin, select.POLLIN)
        events = dict(poller.poll())
        mine = events.get(own, 0)
        return stdin in events, bool(mine & ~select.POLLOUT), bool(mine & select.POLLOUT)

    def _output(self, streams: Streams) -> bool:
        try:
            packet = self._socket.recv(PACKET_BYTES)
        except ConnectionResetError:
            return False
        if not packet:
            return False
        target = {STDOUT: streams.stdout, STDERR: streams.stderr}.get(packet[0])
        data = memoryview(packet)[1:]
        while target is not None and data:
            data = data[os.write(target, data) :]
        return True

    def _send(self, data: bytes) -> int:
        """How much of it is dealt with."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            return len(data)  # the container is gone; its last output may still be waiting to be read

    def _half_close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, STDIN_BYTES)
    except OSError:  # EIO: the terminal hung up
        return b""


class KeyWatch:
    """Finds the detach sequence in what is typed, also when it comes in pieces.

    What may be its beginning is held back until the next key says that it is not.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete."""
        if not self._keys:
            return data, False
        out = bytearray()
        for index in range(len(data)):
            self._held += data[index : index + 1]
            while not self._keys.startswith(self._held):
                out += self._held[:1]
                self._held = self._held[1:]
            if self._held == self._keys:
                return bytes(out), True
        return bytes(out), False


def resize(bundle: Path, rows: int, columns: int) -> None:
    """Tell conmon the terminal's size through its control FIFO."""
    try:
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # the container ended just now
    try:
        os.write(fd, f"1 {rows} {columns}\n".encode())
    finally:
        os.close(fd)


def parse_detach_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as bytes; an empty text switches detaching off. A key is a character, or ctrl- and one."""
    keys = b""
    for part in text.split(",") if text else ():
        if len(part) == 1 and part.isascii():
            keys += part.encode()
        elif part.startswith("ctrl-") and len(part) == 6 and part[5].upper() in CONTROL_KEYS:
            keys += bytes([CONTROL_KEYS.index(part[5].upper())])
        else:
            raise UsageError(f'detach keys "{text}" are not valid', hint="for instance ctrl-p,ctrl-q")
    return keys
