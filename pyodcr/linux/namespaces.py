"""Entering and making namespaces, without ever moving our own process.

A namespace belongs to a thread. Whatever must happen inside another network runs in a thread made
for it that ends with it, so no later socket or child of ours can start in the wrong place.
Python has setns(2) and unshare(2) only since 3.12; the C library always had them.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from pyodcr.errors import SystemFailed

CLONE_NEWNET = 0x40000000

T = TypeVar("T")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(status: int, action: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise SystemFailed(f"cannot {action}: {os.strerror(number).lower()}", errno=number)


def in_new_network(action: Callable[[], T]) -> T:
    """What ``action`` returns, or raises, when called inside a new, empty network namespace."""

    def enter() -> None:
        _check(_libc().unshare(CLONE_NEWNET), "create a network namespace")

    return _in_thread(enter, action)


def in_network(path: Path, action: Callable[[], T]) -> T:
    """What ``action`` returns, or raises, when called inside the network namespace at ``path``."""

    def enter() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SystemFailed(f"cannot open the network namespace {path}: {str(error.strerror).lower()}") from error
        try:
            _check(_libc().setns(fd, CLONE_NEWNET), f"enter the network namespace {path}")
        finally:
            os.close(fd)

    return _in_thread(enter, action)


def _in_thread(enter: Callable[[], None], action: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter()
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
