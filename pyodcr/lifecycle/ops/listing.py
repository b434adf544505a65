"""What `ps` lists: which containers, and what of each. Takes no lock and opens no image unless sizes are wanted.

Keys are those of Podman's ``entities.ListContainer``, filters those of its ``pkg/domain/filters``: values of one
filter are alternatives (but labels must all fit), different filters must all fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from pyodcr import jsonio
from pyodcr.errors import PyodcrError, UsageError
from pyodcr.jsonio import JsonObject, Table
from pyodcr.lifecycle.models import Container, Status

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context

GO_ZERO_TIME_S = -62_135_596_800  # what Go's zero time is in seconds since the epoch
RESTART_POLICIES = ("none", "no", "always", "on-failure", "unless-stopped")

Test: TypeAlias = Callable[[Container], bool]
Find: TypeAlias = Callable[[str], Container]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """``all``: not only running ones; ``last``: that many of the newest, in any state; ``filters`` are NAME=VALUE."""

    all: bool = False
    last: int = 0
    filters: tuple[str, ...] = ()
    size: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that a container wrote, and of its whole root filesystem."""

    rw_bytes: int
    rootfs_bytes: int


def listed(ctx: Context, containers: Sequence[Container], options: ListOptions) -> list[JsonObject]:
    """The chosen containers, oldest first, as `ps --format json` has them but for what is told relative to now."""
    chosen = choose(containers, options, ctx.db.find)
    return [entry(container, sizes(ctx, container) if options.size else None) for container in chosen]


def choose(containers: Sequence[Container], options: ListOptions, find: Find) -> list[Container]:
    """``find`` resolves the containers that filters name."""
    wanted = parse_filters(options.filters)
    tests = [_test(name, values, find) for name, values in wanted.items()]
    if not (options.all or options.last or "status" in wanted):
        tests.append(lambda container: container.status is Status.RUNNING)
    chosen = [container for container in containers if all(test(container) for test in tests)]
    chosen.sort(key=_created)
    return chosen[-options.last :] if options.last else chosen


def parse_filters(words: Sequence[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f'invalid filter "{word}"', hint="NAME=VALUE")
        found.setdefault(name, []).append(value)
    return found


def label_test(filters: Sequence[str]) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels have all of ``KEY`` or ``KEY=VALUE``; an asterisk stands for anything."""

    def test(labels: Mapping[str, str]) -> bool:
        return all(_has_label(labels, wanted) for wanted in filters)

    return test


def matches(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether one of the regular expressions is found in a text."""
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise UsageError(f'filter value "{error.pattern!s}" is not a regular expression: {error.msg}') from error
    return lambda text: any(pattern.search(text) for pattern in compiled)


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    from fnmatch import fnmatchcase

    key, equals, value = wanted.partition("=")
    return any(
        fnmatchcase(name, key) and (not equals or fnmatchcase(content, value)) for name, content in labels.items()
    )


def _test(name: str, values: Sequence[str], find: Find) -> Test:
    match name:
        case "id":
            return lambda container: any(container.id.startswith(value.lower()) for value in values)
        case "name":
            found = matches([value.replace("/", "") for value in values])
            return lambda container: found(container.name)
        case "label":
            fits = label_test(values)
            return lambda container: fits(container.config.labels)
        case "label!":
            return lambda container: not any(_has_label(container.config.labels, value) for value in values)
        case "status":
            return _status_test(values)
        case "exited":
            return _exited_test(values)
        case "ancestor":
            return _ancestor_test(values)
        case "volume":
            return lambda container: any(_mounts(container, value) for value in values)
        case "network":
            return _network_test(values, find)
        case "before":
            earliest = min(_created(find(value)) for value in values)
            return lambda container: _created(container) < earliest
        case "since":
            earliest = min(_created(find(value)) for value in values)
            return lambda container: _created(container) > earliest
        case "restart-policy":
            return _restart_test(values)
    raise UsageError(
        f"{name} is an invalid filter",
        hint="filters: ancestor, before, exited, id, label, name, network, restart-policy, since, status, volume",
    )


def _status_test(values: Sequence[str]) -> Test:
    for value in values:
        if value not in list(Status):
            raise UsageError(f"unknown container state: {value}", hint=f"states: {', '.join(Status)}")
    ended = {Status.STOPPED: Status.EXITED}  # one and the same to the user
    wanted = {ended.get(Status(value), Status(value)) for value in values}
    return lambda container: ended.get(container.status, container.status) in wanted


def _exited_test(values: Sequence[str]) -> Test:
    try:
        codes = {int(value) for value in values}
    except ValueError as error:
        raise UsageError(f"exited code out of range {', '.join(values)}", hint="a number") from error
    return lambda container: container.state.exited and container.state.exit_code in codes


def _ancestor_test(values: Sequence[str]) -> Test:
    found = matches(values)

    def test(container: Container) -> bool:
        image_id, name = container.config.image_id, container.config.image_name
        return any(value in image_id for value in values if value) or found(name)

    return test


def _mounts(container: Container, wanted: str) -> bool:
    """``NAME``, ``DESTINATION`` or ``SOURCE:DESTINATION``."""
    source, colon, destination = wanted.partition(":")
    config = container.config
    pairs = [(mount.get("source", ""), mount.get("destination", "")) for mount in config.spec.get("mounts") or ()]
    named = [(volume.name, volume.dest) for volume in config.named_volumes]
    if colon:
        return (source, destination) in (*pairs, *named)
    return any(target == source for _, target in (*pairs, *named)) or any(name == source for name, _ in named)


def _network_test(values: Sequence[str], find: Find) -> Test:
    shared = set()
    for value in values:
        kind, colon, ref = value.partition(":")
        if colon and kind == "container":
            try:
                shared.add(find(ref).id)
            except PyodcrError:
                continue
    return lambda container: (
        container.config.net_container in shared or any(name in values for name in container.config.networks)
    )


def _restart_test(values: Sequence[str]) -> Test:
    for value in values:
        if value not in RESTART_POLICIES:
            raise UsageError(f"{value} invalid restart policy", hint=f"policies: {', '.join(RESTART_POLICIES)}")
    none = {"": "no", "none": "no"}
    wanted = {none.get(value, value) for value in values}
    return lambda container: none.get(container.config.restart_policy, container.config.restart_policy) in wanted


def _created(container: Container) -> datetime:
    return container.config.created_at or datetime.fromtimestamp(0, UTC)


def sizes(ctx: Context, container: Container) -> Sizes:
    from pyodcr.lifecycle.storage import overlay

    rw_bytes = overlay.size(ctx.place(container).layer)
    image_id = container.config.image_id
    try:
        image_bytes = ctx.images.lookup(image_id).size_bytes if image_id else 0
    except PyodcrError:  # removed by force: the container still has what it wrote
        image_bytes = 0
    return Sizes(rw_bytes, image_bytes + rw_bytes)


def entry(container: Container, size: Sizes | None = None) -> JsonObject:
    """One container as `ps` knows it."""
    config, state = container.config, container.state
    return {
        "AutoRemove": config.auto_remove,
        "CIDFile": "",
        "Command": list(config.command),
        "Created": _unix(config.created_at),
        "Exited": state.exited,
        "ExitedAt": _unix(state.finished_at),
        "ExitCode": state.exit_code,
        "ExposedPorts": Table(config.exposed_ports),
        "Id": container.id,
        "Image": config.image_name or config.rootfs,
        "ImageID": config.image_id,
        "IsInfra": False,
        "Labels": Table(config.labels),
        "Mounts": list(config.user_volumes),
        "Names": [container.name],
        "Namespaces": {},
        "Networks": list(config.networks),
        "Pid": state.pid,
        "Pod": "",
        "PodName": "",
        "Ports": [jsonio.encode(mapping) for mapping in config.ports],
        "Restarts": state.restart_count,
        "Size": None if size is None else {"rootFsSize": size.rootfs_bytes, "rwSize": size.rw_bytes},
        "StartedAt": _unix(state.started_at),
        "State": str(container.status),
    }


def _unix(moment: datetime | None) -> int:
    return GO_ZERO_TIME_S if moment is None else int(moment.timestamp())
