"""Containers that need others."""

from __future__ import annotations

from itertools import permutations

from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState
from pyodcr.lifecycle.order import needed_first


def container(name: str, **needs: object) -> Container:
    return Container(ContainerConfig(id=name, name=name, **needs), ContainerState())  # type: ignore[arg-type]


def test_each_comes_after_those_it_depends_on() -> None:
    infra, network, both = (
        container("infra"),
        container("network", net_container="infra"),
        container("both", ipc_container="infra", requires=("network",)),
    )
    for given in permutations([infra, network, both]):
        assert needed_first(given) == [infra, network, both]


def test_what_is_not_among_them_does_not_count() -> None:
    orphan = container("orphan", net_container="gone")
    assert needed_first([orphan]) == [orphan]
