from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pyodcr.linux import alarm


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """The signals that arrive outside the block."""
    arrived: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: arrived.append(number))
    yield arrived
    signal.signal(signal.SIGALRM, before)


def on_a_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def look() -> None:
    raise ZeroDivisionError


def test_who_sleeps_is_called(alarms: list[int]) -> None:
    def sleep() -> None:
        with alarm.calling(look) as call:
            threading.Thread(target=call).start()
            time.sleep(60)

    with pytest.raises(ZeroDivisionError):
        sleep()
    assert alarms == []


def test_nobody_is_called_after_the_block(alarms: list[int]) -> None:
    with alarm.calling(look) as call:
        pass
    on_a_thread(call)
    assert alarms == []


def test_another_thread_is_not_called(alarms: list[int]) -> None:
    def work() -> None:
        with alarm.calling(look) as call:
            on_a_thread(call)

    on_a_thread(work)
    assert alarms == []
