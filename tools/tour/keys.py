"""The 100,000 keys: made, loaded, read back and compared one by one."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tools.tour.resp import BATCH, Redis
from tools.tour.trouble import TourFailed

COUNT = 100_000
COUNTER = b"counter"  # moves all the time, so it is not compared but followed
VALUE_BYTES = (16, 800)


def made() -> Iterator[tuple[bytes, bytes]]:
    """The same keys every time; a value is half noise, so an archive of them shrinks as real data does."""
    numbers = random.Random(100_000)
    for index in range(COUNT):
        length = numbers.randint(*VALUE_BYTES)
        noise = numbers.randbytes(length // 2)
        yield b"user:%06d" % index, noise + b"profile of user %06d; " % index * (length // 50)


def load(address: str) -> int:
    """Set them all; returns the bytes sent as keys and values."""
    sent = 0

    def commands() -> Iterator[tuple[str, bytes, bytes]]:
        nonlocal sent
        for key, value in made():
            sent += len(key) + len(value)
            yield "SET", key, value

    with Redis(address) as redis:
        for reply in redis.pipeline(commands()):
            if reply != b"OK":
                raise TourFailed(f"SET was answered with {reply!r}")
    return sent


def read(address: str) -> Mapping[bytes, bytes]:
    """Every key that is there, with its value, over TCP."""
    found: dict[bytes, bytes] = {}
    with Redis(address) as redis:
        cursor = b"0"
        while True:
            reply = redis.call("SCAN", cursor, "COUNT", BATCH)
            match reply:
                case [bytes(cursor), list(names)]:
                    keys = [name for name in names if isinstance(name, bytes) and name != COUNTER]
                case _:
                    raise TourFailed(f"SCAN was answered with {reply!r}")
            values = redis.call("MGET", *keys) if keys else []
            if not isinstance(values, list):
                raise TourFailed(f"MGET was answered with {values!r}")
            found.update((key, value) for key, value in zip(keys, values, strict=True) if isinstance(value, bytes))
            if cursor == b"0":
                return found


def digest(pairs: Mapping[bytes, bytes]) -> str:
    """SHA-256 over all keys and values in the order of the keys, each with its length."""
    total = hashlib.sha256()
    for key in sorted(pairs):
        for part in (key, pairs[key]):
            total.update(b"%d:%b" % (len(part), part))
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Comparison:
    missing: int
    changed: int
    added: int

    @property
    def same(self) -> bool:
        return not (self.missing or self.changed or self.added)


def compare(before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> Comparison:
    return Comparison(
        missing=sum(key not in after for key in before),
        changed=sum(key in after and after[key] != value for key, value in before.items()),
        added=sum(key not in before for key in after),
    )
