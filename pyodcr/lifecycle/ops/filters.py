"""Which images, volumes and networks a list's ``--filter`` chooses.

As with Podman, values of one filter are alternatives (but labels must all fit), and different filters must all fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Volume
from pyodcr.lifecycle.ops.listing import label_test, matches, parse_filters

if TYPE_CHECKING:
    from pyodcr.lifecycle.network.definitions import Network
    from pyodcr.lifecycle.storage.images import Image

T = TypeVar("T")

IMAGE_FILTERS = ("after", "before", "dangling", "id", "label", "reference", "since")
VOLUME_FILTERS = ("anonymous", "dangling", "driver", "label", "name")
NETWORK_FILTERS = ("dangling", "driver", "id", "label", "name")


def images(found: Sequence[Image], words: Sequence[str], lookup: Callable[[str], Image]) -> list[Image]:
    """``lookup`` resolves the images that filters name. Of the names, only those that a ``reference`` fits are left."""
    chosen = _choose(found, words, lambda name, values: _image_test(name, values, lookup))
    patterns = parse_filters(words).get("reference", ())
    if not patterns:
        return chosen
    return [replace(image, names=tuple(name for name in image.names if _is_like(name, patterns))) for image in chosen]


def volumes(found: Sequence[Volume], words: Sequence[str], used: Collection[str]) -> list[Volume]:
    """``used`` are the names of the volumes that containers have."""
    return _choose(found, words, lambda name, values: _volume_test(name, values, used))


def networks(found: Sequence[Network], words: Sequence[str], used: Collection[str]) -> list[Network]:
    """``used`` are the names of the networks that containers join, and of those that always stay."""
    return _choose(found, words, lambda name, values: _network_test(name, values, used))


def _choose(
    found: Sequence[T], words: Sequence[str], test: Callable[[str, Sequence[str]], Callable[[T], bool]]
) -> list[T]:
    tests = [test(name, values) for name, values in parse_filters(words).items()]
    return [item for item in found if all(fits(item) for fits in tests)]


def _image_test(name: str, values: Sequence[str], lookup: Callable[[str], Image]) -> Callable[[Image], bool]:
    match name:
        case "dangling":
            wanted = _truth(name, values)
            return lambda image: (not image.names) is wanted
        case "id":
            return lambda image: any(image.id.startswith(value.removeprefix("sha256:")) for value in values)
        case "label":
            fits = label_test(values)
            return lambda image: fits(image.config.labels)
        case "reference":
            return lambda image: any(_is_like(name, values) for name in image.names)
        case "before":
            earliest = min(_created(lookup(value)) for value in values)
            return lambda image: _created(image) < earliest
        case "since" | "after":
            latest = max(_created(lookup(value)) for value in values)
            return lambda image: _created(image) > latest
    raise _unknown(name, IMAGE_FILTERS)


def _volume_test(name: str, values: Sequence[str], used: Collection[str]) -> Callable[[Volume], bool]:
    match name:
        case "name":
            found = matches(values)
            return lambda volume: found(volume.name)
        case "driver":
            return lambda volume: volume.driver in values
        case "label":
            fits = label_test(values)
            return lambda volume: fits(volume.labels)
        case "dangling":
            wanted = _truth(name, values)
            return lambda volume: (volume.name not in used) is wanted
        case "anonymous":
            wanted = _truth(name, values)
            return lambda volume: volume.anonymous is wanted
    raise _unknown(name, VOLUME_FILTERS)


def _network_test(name: str, values: Sequence[str], used: Collection[str]) -> Callable[[Network], bool]:
    match name:
        case "name":
            found = matches(values)
            return lambda network: found(network.name)
        case "id":
            return lambda network: any(network.id.startswith(value) for value in values)
        case "driver":
            return lambda network: network.driver in values
        case "label":
            fits = label_test(values)
            return lambda network: fits(network.labels)
        case "dangling":
            wanted = _truth(name, values)
            return lambda network: (network.name not in used) is wanted
    raise _unknown(name, NETWORK_FILTERS)


def _is_like(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name, with or without its domain, path and tag, is like one of ``patterns``: * stops at a slash."""
    from pyodcr.lifecycle.storage import refs

    reference = refs.parse(name)
    behind = name.removeprefix(reference.repository)
    repositories = (reference.repository, reference.path, reference.path.rpartition("/")[2])
    forms = [*repositories, *(repository + behind for repository in repositories)]
    return any(_fits(form, pattern) for form in forms for pattern in patterns)


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _truth(name: str, values: Sequence[str]) -> bool:
    for value in values:
        if not re.fullmatch("true|false|1|0", value):
            raise UsageError(f'invalid value "{value}" of the filter {name}', hint="true or false")
    return values[-1] in ("true", "1")


def _created(image: Image) -> datetime:
    return image.created or datetime.fromtimestamp(0, UTC)


def _unknown(name: str, known: Sequence[str]) -> UsageError:
    return UsageError(f'"{name}" is an invalid filter', hint=f"filters: {', '.join(known)}")
