"""What the user wants mounted: ``-v``, ``--mount``, ``--tmpfs`` and ``--volumes-from``, parsed and checked.

Every mount comes out complete: its destination clean, its source absolute, its options as
:mod:`.mount_options` fills them up.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyodcr.errors import Unsupported, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import ContainerConfig, NamedVolume, OverlayVolume
from pyodcr.lifecycle.spec import mount_flag, mount_options, names

_FROM_OPTIONS = frozenset({"ro", "rw", "z"})


@dataclass(slots=True)
class Wanted:
    """Mounts by destination, one each. ``mounts`` are OCI mounts; a volume without a name is anonymous."""

    mounts: dict[str, JsonObject] = field(default_factory=dict)
    volumes: dict[str, NamedVolume] = field(default_factory=dict)
    overlays: dict[str, OverlayVolume] = field(default_factory=dict)

    @property
    def destinations(self) -> tuple[str, ...]:
        return (*self.mounts, *self.volumes, *self.overlays)

    def claim(self, destination: str) -> str:
        """The clean path of a destination that nothing else is mounted on yet."""
        clean = clean_destination(destination)
        if clean in self.destinations:
            raise UsageError(f"{clean}: duplicate mount destination")
        return clean

    def add_mount(self, destination: str, kind: str, source: str, options: Sequence[str]) -> None:
        self.mounts[destination] = {
            "destination": destination,
            "type": kind,
            "source": source,
            "options": list(options),
        }

    def add_volume(self, destination: str, name: str, options: Sequence[str]) -> None:
        if name and not names.VALID.match(name):
            raise UsageError(
                f'volume name "{name}" is not valid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*',
                hint="a directory of the host begins with / or ./",
            )
        if "O" in options:
            raise Unsupported("a named volume cannot be mounted with 'O'", hint="use a directory of the host")
        self.volumes[destination] = NamedVolume(
            name=name, dest=destination, options=tuple(mount_options.bind(options)), anonymous=not name
        )

    def update(self, other: Wanted) -> None:
        """Let ``other`` have every destination it wants."""
        for destination in other.destinations:
            for table in (self.mounts, self.volumes, self.overlays):
                table.pop(destination, None)
        self.mounts |= other.mounts
        self.volumes |= other.volumes
        self.overlays |= other.overlays


def clean_destination(path: str) -> str:
    if not path:
        raise UsageError("container directory cannot be empty")
    if not path.startswith("/"):
        raise UsageError(f'invalid container path "{path}", must be an absolute path')
    clean = posixpath.normpath(f"/{path.lstrip('/')}")
    if clean == "/":
        raise UsageError('invalid container path "/", nothing can be mounted over the root filesystem')
    return clean


def parse(volumes: Sequence[str], mounts: Sequence[str], tmpfs: Sequence[str]) -> Wanted:
    wanted = Wanted()
    for text in mounts:
        _add_mount(wanted, mount_flag.parse(text))
    for text in volumes:
        _add_volume(wanted, text)
    for text in tmpfs:
        path, _, options = text.partition(":")
        wanted.add_mount(wanted.claim(path), "tmpfs", "tmpfs", mount_options.tmpfs(_split(options)))
    return wanted


def from_containers(references: Sequence[str], resolve: Callable[[str], ContainerConfig]) -> Wanted:
    """What users mounted into other containers (``CONTAINER[:ro|rw|z]``); the last named has a destination first."""
    wanted = Wanted()
    for reference in references:
        name, _, words = reference.partition(":")
        options = _split(words)
        for option in options:
            if option not in _FROM_OPTIONS:
                raise UsageError(
                    f'invalid option "{option}" specified - volumes from another container can only use z,ro,rw options'
                )
        wanted.update(_mounted_into(resolve(name), options))
    return wanted


def _mounted_into(other: ContainerConfig, options: Sequence[str]) -> Wanted:
    wanted = Wanted()
    for mount in other.spec.get("mounts", ()):
        destination = str(mount["destination"])
        if mount.get("type") == "bind" and destination in other.user_volumes:
            source = str(mount["source"])
            given = mount_options.bind(options, source) if options else mount.get("options", ())
            wanted.add_mount(destination, "bind", source, given)
    for volume in other.named_volumes:
        given = tuple(mount_options.bind(options)) if options else volume.options
        wanted.volumes[volume.dest] = replace(volume, options=given, anonymous=False)
    return wanted


def _add_mount(wanted: Wanted, flag: mount_flag.MountFlag) -> None:
    destination = wanted.claim(flag.destination)
    match flag.kind:
        case "bind":
            source = str(Path(flag.source or destination).absolute())
            wanted.add_mount(destination, "bind", source, mount_options.bind(flag.options, source))
        case "tmpfs":
            wanted.add_mount(destination, "tmpfs", "tmpfs", mount_options.tmpfs(flag.options))
        case "devpts":
            wanted.add_mount(destination, "devpts", "devpts", flag.options)
        case _:
            wanted.add_volume(destination, flag.source, flag.options)


def _add_volume(wanted: Wanted, text: str) -> None:
    """``[[HOST-DIR|NAME:]CTR-DIR[:OPTIONS]]``: a path of the host begins with a slash or a dot."""
    parts = text.split(":")
    if len(parts) > 3:
        raise UsageError(f"{text}: incorrect volume format, should be [host-dir:]ctr-dir[:option]")
    if len(parts) > 1 and not parts[0]:
        raise UsageError("host directory cannot be empty")
    source = parts[0] if len(parts) > 1 else ""
    destination = wanted.claim(parts[1] if len(parts) > 1 else parts[0])
    options = _split(parts[2]) if len(parts) > 2 else []
    if not source.startswith(("/", ".")):
        wanted.add_volume(destination, source, options)
        return
    source = str(Path(source).absolute())
    complete = mount_options.bind(options, source)
    if "O" not in complete:
        wanted.add_mount(destination, "bind", source, complete)
    elif set(options) - {"O", "U"}:
        raise UsageError("can't use 'O' with other options", hint="only U goes with it")
    else:
        wanted.overlays[destination] = OverlayVolume(dest=destination, source=source, options=tuple(options))


def _split(options: str) -> list[str]:
    return [option for option in options.split(",") if option]
