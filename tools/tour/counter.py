"""The client that counts up: INCR over TCP, without a pause, on whichever host answers.

It knows both hosts' addresses, as a client behind a virtual IP or a DNS name would: when its connection breaks or
falls silent it tries them in turn until one answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from tools.tour.keys import COUNTER
from tools.tour.resp import Redis
from tools.tour.trouble import TourFailed

INTERVAL_S = 0.001
SILENCE_S = 1.0  # no answer for that long: try elsewhere
RETRY_S = 0.05
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """The client's first answer after its connection had gone: where from, and after how long."""

    address: str
    last: int  # the last number it was given before
    first: int  # the first one afterwards
    without_s: float


class Counter:
    """Counts in a thread of its own from :meth:`start` to :meth:`stop`."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counting-client", daemon=True)
        self.value = 0
        self.last_answer = time.monotonic()
        self.arrivals: list[Arrival] = []
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        for address in cycle(self._addresses):
            if self._ended.is_set() or self.trouble:
                return
            with suppress(OSError), Redis(address, timeout_s=SILENCE_S) as redis:
                self._count(address, redis)
            self._ended.wait(RETRY_S)

    def _count(self, address: str, redis: Redis) -> None:
        """Count until the connection breaks."""
        arrived = False
        while not self._ended.wait(INTERVAL_S):
            try:
                number = redis.call("INCR", COUNTER)
            except TourFailed as error:
                self.trouble = str(error)
                return
            if not isinstance(number, int) or not self._follows(number, arrived=arrived):
                self.trouble = f"the counter was at {self.value:,}, but {address} says {number!r}"
                return
            now = time.monotonic()
            if not arrived:
                self.arrivals.append(Arrival(address, self.value, number, now - self.last_answer))
                arrived = True
            self.value, self.last_answer = number, now

    def _follows(self, number: int, *, arrived: bool) -> bool:
        """The next number; after a break also the one beyond, when an INCR was done but its answer got lost."""
        return number == self.value + 1 or (not arrived and number == self.value + 2)

    def wait_beyond(self, number: int) -> int:
        """Wait until it has counted beyond ``number``; returns where it is."""
        deadline = time.monotonic() + PATIENCE_S
        while self.value <= number:
            self._require(deadline, f"the counter to go beyond {number:,}")
        return self.value

    def wait_arrival(self, address: str, since: int) -> Arrival:
        """Wait for an answer from ``address`` that came after the first ``since`` arrivals."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for arrival in self.arrivals[since:]:
                if arrival.address == address:
                    return arrival
            self._require(deadline, f"an answer from {address}")

    def _require(self, deadline: float, what: str) -> None:
        if self.trouble:
            raise TourFailed(self.trouble)
        if time.monotonic() > deadline:
            raise TourFailed(f"the client waited {PATIENCE_S:.0f} s in vain for {what}")
        time.sleep(0.01)
