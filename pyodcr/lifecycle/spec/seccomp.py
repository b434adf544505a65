"""Seccomp: from a profile (containers-seccomp.json(5)) to the filter for one container.

A profile says which system calls are for which architectures, capabilities and kernels; the filter, OCI
``linux.seccomp``, no longer does. The profile is the one the user names, else the administrator's, else
the distribution's, else ours beside this module, whose lists follow those of containers/common.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pyodcr import jsonio
from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonInvalid, JsonObject
from pyodcr.lifecycle.spec.facts import Kernel
from pyodcr.linux import release

UNCONFINED = "unconfined"
OURS = Path(__file__).with_name("seccomp.json")
DEFAULTS = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"), OURS)

# uname's machine -> libseccomp's names: of the architecture in `includes`, and of its entry in `archMap`
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "mips64": ("mips64", "SCMP_ARCH_MIPS64"),
}


def build(wanted: str, kernel: Kernel, capabilities: Collection[str], *, privileged: bool) -> JsonObject | None:
    """The container's filter, or None. ``wanted`` is a profile's path, ``unconfined``, or empty for the default."""
    if wanted == UNCONFINED or (privileged and not wanted):
        return None
    path = Path(wanted) if wanted else next(path for path in DEFAULTS if path.exists())
    try:
        return resolve(jsonio.loads(path.read_bytes(), str(path)), kernel, capabilities)
    except OSError as error:
        raise UsageError(f"opening seccomp profile failed: open {path}: {str(error.strerror).lower()}") from error
    except (JsonInvalid, TypeError, ValueError, AttributeError, KeyError) as error:
        raise UsageError(f"loading seccomp profile ({path}) failed: {error}") from error


def resolve(profile: Mapping[str, Any], kernel: Kernel, capabilities: Collection[str]) -> JsonObject | None:
    """Decide every condition of a profile; None where it filters nothing.

    Raises :class:`~pyodcr.jsonio.JsonInvalid` where the profile contradicts itself or its format.
    """
    if not profile.get("defaultAction") and not profile.get("syscalls"):
        return None
    arch, native = _MACHINES.get(kernel.machine, ("", ""))
    found: JsonObject = {"defaultAction": profile["defaultAction"]}
    default_errno = _errno(profile, "defaultErrno", "defaultErrnoRet")
    if default_errno is not None:
        found["defaultErrnoRet"] = default_errno
    architectures = _architectures(profile, native)
    if architectures:
        found["architectures"] = architectures
    for name in ("flags", "listenerPath", "listenerMetadata"):
        if profile.get(name):
            found[name] = profile[name]
    found["syscalls"] = [
        _rule(rule)
        for rule in profile.get("syscalls") or ()
        if _applies(rule.get("includes") or {}, rule.get("excludes") or {}, arch, kernel, capabilities)
    ]
    return found


def _applies(
    includes: Mapping[str, Any],
    excludes: Mapping[str, Any],
    arch: str,
    kernel: Kernel,
    capabilities: Collection[str],
) -> bool:
    """A rule needs all capabilities it includes, and none that it excludes."""
    held = set(capabilities)
    if arch in (excludes.get("arches") or ()) or held & set(excludes.get("caps") or ()):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    minimum = release.parse(includes.get("minKernel") or "")
    return held >= set(includes.get("caps") or ()) and (minimum is None or kernel.release >= minimum)


def _rule(rule: Mapping[str, Any]) -> JsonObject:
    if bool(rule.get("name")) == bool(rule.get("names")):
        raise JsonInvalid("a rule must have either 'name' or 'names'")
    found: JsonObject = {"names": list(rule.get("names") or [rule["name"]]), "action": rule["action"]}
    number = _errno(rule, "errno", "errnoRet")
    if number is not None:
        found["errnoRet"] = number
    if rule.get("args"):
        found["args"] = [
            {
                "index": argument["index"],
                "value": argument["value"],
                "valueTwo": argument.get("valueTwo", 0),
                "op": argument["op"],
            }
            for argument in rule["args"]
        ]
    return found


def _architectures(profile: Mapping[str, Any], native: str) -> list[str]:
    fixed, mapped = profile.get("architectures"), profile.get("archMap")
    if fixed and mapped:
        raise JsonInvalid("'architectures' and 'archMap' were specified, use either 'architectures' or 'archMap'")
    for entry in mapped or ():
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return list(fixed or ())


def _errno(table: Mapping[str, Any], name_key: str, number_key: str) -> int | None:
    """An error by name (or a number as text) wins over one by number."""
    name = table.get(name_key)
    if not name:
        number = table.get(number_key)
        return None if number is None else int(number)
    if str(name).isdecimal():
        return int(name)
    value = getattr(errno, str(name), None)
    if not isinstance(value, int):
        raise JsonInvalid(f"unknown errno {name}")
    return value
