"""A long list that takes little memory.

A tree may hold a million files, and every one must be remembered between the look that fixes an archive's
size and the read that fills it. Packed in pages of a thousand, a name takes some ten bytes and a tar header fifty,
where strings in a list would take two hundred and more.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_PAGE_ITEMS = 1_000


class Ledger(Generic[T]):
    """Append, then iterate, as often as wanted."""

    def __init__(self) -> None:
        self._pages: list[bytes] = []
        self._open_page: list[T] = []

    def append(self, item: T) -> None:
        self._open_page.append(item)
        if len(self._open_page) == _PAGE_ITEMS:
            self._pages.append(zlib.compress(pickle.dumps(self._open_page, pickle.HIGHEST_PROTOCOL), level=1))
            self._open_page = []

    def __len__(self) -> int:
        return len(self._pages) * _PAGE_ITEMS + len(self._open_page)

    def __iter__(self) -> Iterator[T]:
        for page in self._pages:
            yield from pickle.loads(zlib.decompress(page))
        yield from self._open_page
