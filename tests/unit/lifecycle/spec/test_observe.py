"""What we see of the host the tests run on, as far as it must be so anywhere."""

from __future__ import annotations

import socket
from pathlib import Path

from pyodcr.lifecycle.spec import capabilities, observe


def test_the_kernel() -> None:
    kernel = observe.kernel()
    assert kernel.hostname == socket.gethostname()
    assert kernel.release >= (4, 0)
    assert set(kernel.capabilities) <= set(capabilities.ALL)
    assert kernel.cgroup_version in (1, 2)
    assert kernel.mqueue == ("mqueue" in Path("/proc/filesystems").read_text().split())


def test_free_ports_in_a_row_can_be_bound() -> None:
    first = observe.free_port("tcp", 3)
    for port in range(first, first + 3):
        with socket.socket() as probe:
            probe.bind(("", port))


def test_a_taken_port_is_not_free() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        assert observe.free_port("udp", 1) != taken.getsockname()[1]
