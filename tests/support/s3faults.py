"""A proxy before the S3 server, for the faults that a real one cannot be made to show.

with faults(server.port) as proxy:
    proxy.spoil("PUT", "partNumber=2", Fault.ERROR_500, times=2)
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(Enum):
    ERROR_500 = auto()  # answered with InternalError, the server never sees it
    UNHEARD = auto()  # the connection breaks, the server never sees the request
    UNANSWERED = auto()  # the server does as asked, the connection breaks before its answer
    CUT_SHORT = auto()  # half of the answer's body, then the connection breaks
    SLOW = auto()  # a second of silence before the request's body is taken
    STALLED = auto()  # nothing happens until the stalled are let go, or the proxy is closed


@dataclass(slots=True)
class _Rule:
    method: str
    fragment: str
    fault: Fault
    times: int


class FaultyProxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port = upstream_port
        self.closing = threading.Event()
        self.requests: list[str] = []  # "METHOD path", in the order they came
        self.regions: set[str] = set()  # that requests were signed for
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spoil(self, method: str, fragment: str, fault: Fault, *, times: int = 1_000_000) -> None:
        """Let ``fault`` befall the next ``times`` requests with that method, and ``fragment`` in their path."""
        self._rules.append(_Rule(method, fragment, fault, times))

    def seen(self, method: str, fragment: str) -> int:
        with self._lock:
            return sum(line.startswith(method) and fragment in line for line in self.requests)

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for rule in self._rules:
                if rule.times and rule.method == method and rule.fragment in path:
                    rule.times -= 1
                    return rule.fault
        return None

    def let_go(self) -> None:
        """The connections of stalled requests break."""
        self.closing.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are this server's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""

    def _serve(self) -> None:
        scope = self.headers.get("Authorization", "").partition("Credential=")[2].split("/")  # key/date/region/...
        self.server.regions.update(scope[2:3])
        fault = self.server.fault_of(self.command, self.path)
        if fault is Fault.STALLED:
            self.server.closing.wait()
            return self._hang_up()
        if fault is Fault.UNHEARD:
            return self._hang_up()
        if fault is Fault.SLOW:
            self.server.closing.wait(1)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault is Fault.ERROR_500:
            return self._answer(500, {}, b"<Error><Code>InternalError</Code><Message>Made up.</Message></Error>")
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            upstream.request(self.command, self.path, content, headers)
            answer = upstream.getresponse()
            body = answer.read()
            if fault is Fault.UNANSWERED:
                return self._hang_up()
            return self._answer(answer.status, dict(answer.getheaders()), body, short=fault is Fault.CUT_SHORT)
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, short: bool = False) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if short else body)
        if short:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def faults(upstream_port: int) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(upstream_port)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()
