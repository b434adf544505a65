"""A foreign spec.dump, rebuilt from what is allowed; the rest of it never reaches a runtime.

An archive may come from anybody. Its spec could name hooks and a CRIU configuration (both run programs as
root), paths and devices of this host, namespaces of other processes. So nothing is taken over because it is
there: a key is named here because it stays inside the container, its type is checked, and everything else is
left out and told.

Not judged is what the process itself may do (user, capabilities, seccomp): CRIU's images, which come with the
spec, decide that. Import an archive only from whom you would let run a container.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyodcr.errors import ArchiveInvalid
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.spec import VERSION, annotation, mount_options, sysctls
from pyodcr.lifecycle.spec.capabilities import ALL as CAPABILITIES
from pyodcr.lifecycle.spec.devices import ALLOW_ALL, DENY_ALL, Device
from pyodcr.lifecycle.spec.shapes import flag, integer, many, record, table, text

# Files of the engine that each start makes anew; where Podman has its own of them, they are replaced by ours.
REMADE = frozenset(
    {
        "/dev/shm",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/run/.containerenv",
        "/run/secrets",
        "/var/run/.containerenv",
        "/var/run/secrets",
    }
)

NAMESPACES = ("mount", "pid", "network", "ipc", "uts", "cgroup")
_KINDS = frozenset({"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"})
_ANNOTATIONS = (f"{annotation.ANNOTATION}.", "org.opencontainers.image.", annotation.MANAGER)

# what the runtimes put into every /dev
_DEFAULT_DEVICES = {
    "/dev/null": ("c", 1, 3),
    "/dev/zero": ("c", 1, 5),
    "/dev/full": ("c", 1, 7),
    "/dev/random": ("c", 1, 8),
    "/dev/urandom": ("c", 1, 9),
    "/dev/tty": ("c", 5, 0),
}
_HUGE_PAGE = re.compile(r"[0-9]+[KMG]B\Z")

_PROCESS = record(
    terminal=flag,
    consoleSize=record(height=integer, width=integer),
    user=record(uid=integer, gid=integer, umask=integer, additionalGids=many(integer)),
    args=many(text),
    env=many(text),
    cwd=text,
    capabilities=table(many(text)),
    rlimits=many(record(type=text, hard=integer, soft=integer)),
    noNewPrivileges=flag,
    apparmorProfile=text,
    selinuxLabel=text,
    oomScoreAdj=integer,
)
_RESOURCES = record(
    memory=record(limit=integer, reservation=integer, swap=integer, swappiness=integer, disableOOMKiller=flag),
    cpu=record(shares=integer, quota=integer, burst=integer, period=integer, idle=integer, cpus=text, mems=text),
    pids=record(limit=integer),
    blockIO=record(weight=integer, leafWeight=integer),
    hugepageLimits=many(record(pageSize=text, limit=integer)),
    devices=many(record(allow=flag, type=text, major=integer, minor=integer, access=text)),
)
_SECCOMP = record(
    defaultAction=text,
    defaultErrnoRet=integer,
    architectures=many(text),
    flags=many(text),
    syscalls=many(
        record(
            names=many(text),
            action=text,
            errnoRet=integer,
            args=many(record(index=integer, value=integer, valueTwo=integer, op=text)),
        )
    ),
)
_LINUX = record(
    namespaces=many(record(type=text, path=text)),
    resources=_RESOURCES,
    seccomp=_SECCOMP,
    maskedPaths=many(text),
    readonlyPaths=many(text),
    sysctl=table(text),
    devices=many(
        record(path=text, type=text, major=integer, minor=integer, fileMode=integer, uid=integer, gid=integer)
    ),
    personality=record(domain=text),
)
_MOUNT = record(destination=text, type=text, source=text, options=many(text))
_SPEC = record(
    ociVersion=text,
    process=_PROCESS,
    root=record(readonly=flag, path=text),
    hostname=text,
    domainname=text,
    mounts=many(_MOUNT),
    annotations=table(text),
    linux=_LINUX,
)


def rebuild(
    spec: Mapping[str, Any],
    *,
    binds: Mapping[str, Path] | None = None,
    remade: Collection[str] = (),
    devices: Sequence[Device] = (),
    shared: Collection[str] = ("cgroup",),
    privileged: bool = False,
) -> tuple[JsonObject, tuple[str, ...]]:
    """(what is allowed of ``spec``, fit for a :class:`ContainerConfig`; a line for everything left out).

    What reaches out of the container is given by the importer, not taken from the spec: ``binds``
    (destination -> source on this host; :func:`bind_mounts` tells which are wanted), ``devices``, the
    namespaces that may be ``shared`` with the host, and whether it may be ``privileged``, i.e. use every
    device (else the importer clears that in the config, too).
    Bind mounts on the ``remade`` destinations (volumes of this host) and on :data:`REMADE` are left out untold.

    A bind mount left out makes CRIU refuse the restore, for it is in the images.
    Raises :class:`ArchiveInvalid` where the document is none.
    """
    dropped: list[str] = []
    found: JsonObject = _SPEC(spec, "", dropped)
    for part in ("process", "linux"):
        if part not in found:
            raise ArchiveInvalid(f"spec.dump: there is no {part}")
    linux = found["linux"]
    linux["namespaces"] = _namespaces(linux.get("namespaces", ()), shared, dropped)
    linux["resources"] = _resources(linux.get("resources", {}), devices, dropped, privileged=privileged)
    linux["devices"] = _devices(linux.get("devices", ()), devices, dropped)
    linux["sysctl"] = _sysctl(linux.get("sysctl", {}), linux["namespaces"], dropped)
    rebuilt = {
        "ociVersion": VERSION,
        "process": _process(found["process"], dropped),
        "root": _root(found.get("root", {}), dropped),
        "mounts": _mounts(found.get("mounts", ()), binds or {}, {*remade, *REMADE}, dropped),
        "annotations": _annotations(found.get("annotations", {}), dropped),
        "linux": {name: value for name, value in linux.items() if value},
    }
    names = {name: found[name] for name in ("hostname", "domainname") if found.get(name)}
    return rebuilt | names, tuple(dropped)


def bind_mounts(spec: Mapping[str, Any]) -> dict[str, str]:
    """Destination -> source of every bind mount whose source the importer has to find on this host."""
    mounts = _SPEC(spec, "", []).get("mounts", ())
    destinations = {_destination(mount): str(mount.get("source", "")) for mount in mounts if _is_bind(mount)}
    return {destination: source for destination, source in destinations.items() if destination not in REMADE}


def own_namespaces(spec: Mapping[str, Any]) -> frozenset[str]:
    """The kinds of namespaces that the spec asks for; of others the container uses the host's."""
    entries = _SPEC(spec, "", []).get("linux", {}).get("namespaces", ())
    return frozenset(str(entry.get("type", "")) for entry in entries)


def _process(process: JsonObject, dropped: list[str]) -> JsonObject:
    for name in ("args", "cwd"):
        if not process.get(name):
            raise ArchiveInvalid(f"spec.dump: there is no process.{name}")
    capabilities = {}
    for kind, names in process.get("capabilities", {}).items():
        dropped += [f"capability {name} ({kind})" for name in names if name not in CAPABILITIES]
        capabilities[kind] = [name for name in names if name in CAPABILITIES]
    return {**process, "capabilities": capabilities}


def _root(root: JsonObject, dropped: list[str]) -> JsonObject:
    if root.get("path"):
        dropped.append(f"root.path {root['path']}")
    return {"path": "", "readonly": root.get("readonly", False)}


def _namespaces(entries: Iterable[JsonObject], shared: Collection[str], dropped: list[str]) -> list[JsonObject]:
    found: list[JsonObject] = []
    for entry in entries:
        kind = entry.get("type")
        if kind not in NAMESPACES:
            dropped.append(f"{kind} namespace")
            continue
        if entry.get("path"):
            dropped.append(f"path of the {kind} namespace {entry['path']}")
        found.append({"type": kind})
    for kind in NAMESPACES:
        if kind not in shared and {"type": kind} not in found:
            dropped.append(f"the {kind} namespace of the host")
            found.append({"type": kind})
    return found


def _resources(resources: JsonObject, allowed: Iterable[Device], dropped: list[str], *, privileged: bool) -> JsonObject:
    found = {name: value for name, value in resources.items() if name not in ("devices", "hugepageLimits")}
    pages = resources.get("hugepageLimits", ())
    dropped += [f"limit of huge pages {page.get('pageSize')}" for page in pages if not _is_huge_page(page)]
    kept = [page for page in pages if _is_huge_page(page)]
    if kept:
        found["hugepageLimits"] = kept
    rules = [ALLOW_ALL if privileged else DENY_ALL, *(device.rule for device in allowed)]
    for rule in resources.get("devices", ()):
        if rule.get("allow") and rule not in rules:
            numbers = f"{rule.get('major', '*')}:{rule.get('minor', '*')}"
            dropped.append(f"access to devices {rule.get('type') or 'a'} {numbers} {rule.get('access', '')}")
    return {**found, "devices": rules}


def _is_huge_page(limit: JsonObject) -> bool:
    return bool(_HUGE_PAGE.match(limit.get("pageSize", "")))  # it becomes part of a file's name


def _devices(nodes: Iterable[JsonObject], allowed: Sequence[Device], dropped: list[str]) -> list[JsonObject]:
    found = {device.node["path"]: device.node for device in allowed}
    for node in nodes:
        path = node.get("path", "")
        if _DEFAULT_DEVICES.get(path) == (node.get("type"), node.get("major"), node.get("minor")):
            found.setdefault(path, node)
        elif path not in found:
            dropped.append(f"device {path} ({node.get('type')} {node.get('major')}:{node.get('minor')})")
    return list(found.values())


def _sysctl(settings: Mapping[str, str], namespaces: Iterable[JsonObject], dropped: list[str]) -> dict[str, str]:
    own = {entry["type"] for entry in namespaces}
    kept = {name: value for name, value in settings.items() if sysctls.namespace_of(name) in own}
    dropped += [f"sysctl {name}" for name in settings if name not in kept]
    return kept


def _annotations(given: Mapping[str, str], dropped: list[str]) -> dict[str, str]:
    """The runtimes act on some (``org.criu.``, ``run.oci.``, ``org.systemd.property.``), so only those known not to."""
    kept = {name: value for name, value in given.items() if name.startswith(_ANNOTATIONS)}
    dropped += [f"annotation {name}" for name in given if name not in kept]
    return kept


def _mounts(
    mounts: Iterable[JsonObject], binds: Mapping[str, Path], remade: Collection[str], dropped: list[str]
) -> list[JsonObject]:
    found: dict[str, JsonObject] = {}
    for mount in mounts:
        destination, kind = _destination(mount), mount.get("type", "")
        if destination in found:
            dropped.append(f"second mount on {destination}")
        elif not _is_bind(mount):
            if kind in _KINDS:
                found[destination] = _rebuilt(mount, destination, kind, kind, dropped)
            else:
                dropped.append(f"mount of type {kind} on {destination}")
        elif destination in binds:
            found[destination] = _rebuilt(mount, destination, "bind", str(binds[destination]), dropped)
        elif destination not in remade:
            dropped.append(f"bind mount of {mount.get('source')} on {destination}")
    return list(found.values())


def _rebuilt(mount: JsonObject, destination: str, kind: str, source: str, dropped: list[str]) -> JsonObject:
    options = mount.get("options", [])
    kept = [option for option in options if mount_options.is_harmless(option)]
    dropped += [f"mount option {option} of {destination}" for option in options if option not in kept]
    return {"destination": destination, "type": kind, "source": source, "options": kept}


def _is_bind(mount: JsonObject) -> bool:
    """As the runtimes see it: the option decides, whatever type is given."""
    return mount.get("type", "") in ("", "none", "bind") or not {"bind", "rbind"}.isdisjoint(mount.get("options", ()))


def _destination(mount: JsonObject) -> str:
    path = mount.get("destination", "")
    clean = posixpath.normpath(f"/{path.lstrip('/')}")
    if not path.startswith("/") or clean == "/":
        raise ArchiveInvalid(f'spec.dump: a mount has the destination "{path}"')
    return clean
