"""The little language of ``--mount``: ``type=bind,src=/data,target=/data,ro``. Words and rules are Podman's."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from pyodcr.errors import Unsupported, UsageError

FORMAT = "--mount type=<bind|tmpfs|volume|devpts>,[src=<host-dir|volume-name>,]target=<ctr-dir>[,options]"

_PLACES = {
    "src": "source",
    "source": "source",
    "target": "destination",
    "dst": "destination",
    "dest": "destination",
    "destination": "destination",
}
_WORDS = {
    "bind": frozenset({"bind-nonrecursive", "bind-propagation", "relabel", "no-dereference"}),
    "volume": frozenset({"relabel", "copy", "nocopy"}),
    "tmpfs": frozenset({"tmpfs-mode", "tmpfs-size", "tmpcopyup", "notmpcopyup", "noswap"}),
    "devpts": frozenset({"uid", "gid", "mode", "ptmxmode", "newinstance", "max"}),
}
_ONLY_SOME = frozenset().union(*_WORDS.values())


@dataclass(frozen=True, slots=True)
class MountFlag:
    """One ``--mount``, its options in the language of ``-v`` (:mod:`.mount_options`), not yet checked by it."""

    kind: str
    source: str
    destination: str
    options: tuple[str, ...]


def parse(text: str) -> MountFlag:
    words = [word.partition("=") for word in next(csv.reader([text]), [])]  # a field with a comma may be quoted
    kind = next((value for name, _, value in words if name == "type"), "volume")
    if kind in ("image", "artifact", "glob", "ramfs"):
        raise Unsupported(f"mounts of type {kind} are not supported", hint=FORMAT)
    if kind not in _WORDS:
        raise UsageError(f'invalid filesystem type "{kind}"', hint=FORMAT)
    places: dict[str, str] = {}
    options: list[str] = []
    for name, equals, value in words:
        place = _PLACES.get(name)
        if place is not None:
            if place in places:
                raise UsageError(f'cannot pass "{name}" option more than once')
            if not value:
                raise UsageError(f"{name}: must provide an argument for option")
            places[place] = value
        elif name != "type":
            options += _option(kind, name, value if equals else None)
    if "destination" not in places:
        raise UsageError("must set volume destination", hint=FORMAT)
    if "source" in places and kind in ("tmpfs", "devpts"):
        raise UsageError(f'"source" option not supported for "{kind}" mount types')
    return MountFlag(kind, places.get("source", ""), places["destination"], tuple(options))


def _option(kind: str, name: str, value: str | None) -> list[str]:
    if name in _ONLY_SOME and name not in _WORDS[kind]:
        raise UsageError(f'"{name}" option not supported for "{kind}" mount types')
    match name:
        case "subpath" | "volume-subpath" | "volume-opt" | "volume-label":
            raise Unsupported(f"the mount option {name} is not supported", hint=FORMAT)
        case "readonly" | "ro":
            return ["ro"] if _truth(name, value) else []
        case "rw":
            return ["rw"] if _truth(name, value) else ["ro"]
        case "U" | "chown":
            return ["U"] if _truth(name, value) else []
        case "bind-nonrecursive":
            return ["bind"] if _truth(name, value) else []
        case "bind-propagation":
            return [value or ""]
        case "relabel":
            if value not in ("private", "shared"):
                raise UsageError("relabel mount option must be 'private' or 'shared': invalid mount option")
            return ["Z" if value == "private" else "z"]
        case "tmpfs-mode" | "tmpfs-size":
            return [f"{name.removeprefix('tmpfs-')}={value or ''}"]
        case _:
            return [name if value is None else f"{name}={value}"]


def _truth(name: str, value: str | None) -> bool:
    found = {None: True, "true": True, "1": True, "false": False, "0": False}.get(value and value.lower())
    if found is None:
        raise UsageError(f"'{name}' must be set to true or false, instead received \"{value}\"")
    return found
