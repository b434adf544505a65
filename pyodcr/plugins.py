"""Plugins: classes found by entry point name, in groups such as ``pyodcr.destination``.

A group's owner hands in its built-ins as ``{name: "module:attribute"}``, the very lines that ``pyproject.toml``
registers as entry points; a test holds the two together. Built-ins come first, so a plugin cannot take a
built-in's name, and importlib.metadata, which reads the metadata of every installed package, is imported only
for a name that is not built in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pyodcr.errors import Unsupported


def load(group: str, name: str, built_in: Mapping[str, str]) -> Any | None:
    """What is registered as ``name`` in ``group``; None where nothing is.

    Raises :class:`Unsupported` (``plugin-broken``) for a plugin that is installed, but fails to load.
    """
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    from importlib.metadata import entry_points

    for found in entry_points(group=group, name=name):
        try:
            return found.load()
        except Exception as error:  # somebody else's module: it may raise anything while it is imported
            owner = found.dist.name if found.dist else found.value
            raise Unsupported(
                f"the plugin {name} of {owner} cannot be loaded: {error}",
                code="plugin-broken",
                hint=f"upgrade or remove {owner}",
                group=group,
                plugin=name,
            ) from error
    return None


def names(group: str, built_in: Mapping[str, str]) -> list[str]:
    """Every name of the group, for a message that lists them."""
    from importlib.metadata import entry_points

    return sorted({*built_in, *(found.name for found in entry_points(group=group))})
