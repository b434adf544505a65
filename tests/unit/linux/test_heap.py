from __future__ import annotations

import subprocess
import sys

CHURN = """
import resource
from pyodcr.linux import heap
if {keeps}:
    heap.keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    several = [b"x" * (4 << 20) for _ in range(6)]
    del several
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, keeps: bool) -> int:
    done = subprocess.run([sys.executable, "-c", CHURN.format(keeps=keeps)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_was_freed_is_not_touched_for_the_first_time_again() -> None:
    assert faults(keeps=True) * 5 < faults(keeps=False)
