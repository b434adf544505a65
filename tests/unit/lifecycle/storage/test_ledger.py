from __future__ import annotations

import pytest

from pyodcr.lifecycle.storage.ledger import Ledger


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_it_is_a_list_to_append_to_and_iterate(count: int) -> None:
    ledger: Ledger[int] = Ledger()
    for number in range(count):
        ledger.append(number)
    assert len(ledger) == count
    assert list(ledger) == list(ledger) == list(range(count))
