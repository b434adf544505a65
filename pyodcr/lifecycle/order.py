"""In which order containers come up: those whose namespaces others join, or that others require, first."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter

from pyodcr.lifecycle.models import Container


def needed_first(containers: Iterable[Container]) -> list[Container]:
    """Each after those it depends on; the way down is the reverse. Dependencies that are not given do not count."""
    known = {container.id: container for container in containers}
    needs = {container.id: container.config.dependencies & known.keys() for container in known.values()}
    return [known[name] for name in TopologicalSorter(needs).static_order()]
