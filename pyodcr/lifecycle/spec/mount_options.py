"""The options of ``-v``, ``--mount`` and ``--tmpfs``: which are known, which exclude each other, which are implied.

The language is Podman's (containers/common ``pkg/parse``, Podman ``pkg/util/mount_opts.go``). Some words
are ours to act on and never reach the runtime; :func:`for_runtime` takes those out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from pyodcr.errors import Unsupported, UsageError

PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"})
# each group: at most one of them
_GROUPS = (
    ("'rw' and 'ro'", frozenset({"rw", "ro"})),
    ("'noexec' and 'exec'", frozenset({"noexec", "exec"})),
    ("'nosuid' and 'suid'", frozenset({"nosuid", "suid"})),
    ("'nodev' and 'dev'", frozenset({"nodev", "dev"})),
    ("'z', 'Z' and 'O'", frozenset({"z", "Z", "O"})),
    ("'rbind' and 'bind'", frozenset({"rbind", "bind"})),
    ("'nocopy' and 'copy'", frozenset({"nocopy", "copy"})),
    ("the propagation modes", PROPAGATION),
)
_BIND_WORDS = frozenset().union(*(group for _, group in _GROUPS)) | {"U", "no-dereference"}
_TMPFS_WORDS = frozenset(
    {
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "U",
        "noatime",
        "noswap",
        "tmpcopyup",
        "notmpcopyup",
    }
    | PROPAGATION
)
_TMPFS_KEYS = frozenset({"size", "mode"})
_FOR_MACS = frozenset({"cached", "delegated", "consistent"})  # Docker Desktop's; without meaning on Linux

_FLAGS = {"noexec": os.ST_NOEXEC, "nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV}
_OPPOSITES = {"noexec": "exec", "nosuid": "suid", "nodev": "dev"}

_HARMLESS = (
    (_BIND_WORDS | _TMPFS_WORDS) - {"O", "U", "z", "Z"}
    | {"async", "atime", "copy-symlink", "diratime", "dirsync", "lazytime", "newinstance", "nodiratime", "norelatime"}
    | {"nostrictatime", "nosymfollow", "relatime", "strictatime", "sync"}
)
_HARMLESS_KEYS = frozenset({"gid", "hidepid", "max", "mode", "nr_blocks", "nr_inodes", "ptmxmode", "size", "uid"})

# acted on by the engine before the runtime sees the mount
_OURS = frozenset({"z", "Z", "U", "O", "copy", "nocopy"})


def bind(options: Sequence[str], source: str = "") -> list[str]:
    """The full options of a bind mount or, without ``source``, of a named volume.

    What the filesystem below the source forbids is forbidden in the container too, unless asked for;
    volumes are mounted nosuid and nodev.
    """
    known = _checked(options, _BIND_WORDS)
    if source:
        try:
            flags = os.statvfs(source).f_flag
        except OSError as error:
            raise UsageError(f"statfs {source}: {str(error.strerror).lower()}", code="no-bind-source") from error
        implied = [word for word, flag in _FLAGS.items() if flags & flag]
    else:
        implied = ["nosuid", "nodev"]
    if PROPAGATION.isdisjoint(known):
        known.append("private" if "bind" in known else "rprivate")
    known += _unless_opposed(implied, known)
    if not {"bind", "rbind"} & set(known):
        known.append("rbind")
    return known


def tmpfs(options: Sequence[str]) -> list[str]:
    """The full options of a tmpfs; what the image has at that place is copied into it unless ``notmpcopyup``."""
    known = _checked(options, _TMPFS_WORDS, _TMPFS_KEYS)
    if PROPAGATION.isdisjoint(known):
        known.append("rprivate")
    known += _unless_opposed(["nosuid", "nodev"], known)
    if "notmpcopyup" in known:
        known.remove("notmpcopyup")
    elif "tmpcopyup" not in known:
        known.append("tmpcopyup")
    return known


def is_harmless(option: str) -> bool:
    """Whether an option of a foreign spec's mount names no path and concerns nothing but that mount."""
    name, equals, _ = option.partition("=")
    return option in _HARMLESS or bool(equals and name in _HARMLESS_KEYS)


def for_runtime(options: Iterable[str]) -> list[str]:
    """The options the OCI runtime understands."""
    renamed = {"no-dereference": "copy-symlink"}  # crun's word
    return [renamed.get(option, option) for option in options if option not in _OURS]


def _checked(options: Sequence[str], words: frozenset[str], keys: frozenset[str] = frozenset()) -> list[str]:
    known: list[str] = []
    for option in options:
        name, equals, _ = option.partition("=")
        if name in _FOR_MACS or name == "consistency" or not option:
            continue
        if name == "idmap":
            raise Unsupported("idmapped mounts are not supported", hint="leave the mount option idmap out")
        if option not in words and not (equals and name in keys):
            raise UsageError(f'unknown mount option "{option}": invalid mount option')
        if option in known or (name in keys and any(other.startswith(f"{name}=") for other in known)):
            raise UsageError(f"the '{name}' option can only be set once: duplicate mount option passed")
        known.append(option)
    for title, group in _GROUPS:
        if len(group & set(known)) > 1:
            raise UsageError(f"only one of {title} can be used: duplicate mount option passed")
    return known


def _unless_opposed(implied: list[str], known: list[str]) -> list[str]:
    return [word for word in implied if word not in known and _OPPOSITES[word] not in known]
