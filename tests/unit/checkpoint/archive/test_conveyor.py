from __future__ import annotations

import threading

import pytest

from pyodcr.checkpoint.archive.conveyor import Conveyor


def test_results_come_in_the_order_of_the_work() -> None:
    second_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_done.wait(60)
        if number == 1:
            second_done.set()
        return number

    with Conveyor[int]() as conveyor:
        if conveyor.threads == 1:
            second_done.set()
        for number in range(10):
            conveyor.submit(work, number)
        assert list(conveyor.results(keep=4)) == [0, 1, 2, 3, 4, 5]
        assert list(conveyor.results()) == [6, 7, 8, 9]


def test_what_the_work_raises_is_raised() -> None:
    with Conveyor[float]() as conveyor:
        conveyor.submit(lambda number: 1 / number, 1)
        conveyor.submit(lambda number: 1 / number, 0)
        results = conveyor.results()
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_leaving_drops_what_has_not_begun() -> None:
    started: list[int] = []
    release = threading.Event()

    def work(number: int) -> None:
        started.append(number)
        release.wait(60)

    with Conveyor[None]() as conveyor:
        for number in range(100):
            conveyor.submit(work, number)
        threading.Timer(0.1, release.set).start()
    assert len(started) <= conveyor.threads


def test_without_work_there_are_no_threads() -> None:
    before = threading.active_count()
    with Conveyor[int]() as conveyor:
        assert list(conveyor.results()) == []
        assert threading.active_count() == before
