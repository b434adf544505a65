"""Extended attributes: which of them travel in an archive, and the ones overlayfs keeps for itself.

What travels: ``user.*``, file capabilities, IMA signatures (as Podman), and ACLs. What never does:
overlayfs's own marks (in another upper directory they would hide or redirect what lies below, so
in a hostile archive they are a weapon), other ``trusted.*``, and SELinux labels, which the mount gives.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

# The kernel's documentation of overlayfs; ``user.overlay.*`` counts only in mounts with ``userxattr``,
# which are never ours: a container may set those itself.
OVERLAY_OPAQUE = "trusted.overlay.opaque"
OVERLAY_WHITEOUT = "trusted.overlay.whiteout"


def travels(name: str) -> bool:
    if name.startswith("user."):
        return not name.startswith("user.overlay.")
    return name in ("security.capability", "security.ima", "system.posix_acl_access", "system.posix_acl_default")


def get(path: str | int, name: str) -> bytes | None:
    """One attribute of a descriptor, or of the very file at a path (no link followed); None where it has none."""
    try:
        return os.getxattr(path, name, follow_symlinks=isinstance(path, int))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def read(path: str | int) -> dict[str, bytes]:
    """The attributes that travel."""
    try:
        names = os.listxattr(path, follow_symlinks=isinstance(path, int))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    found = ((name, get(path, name)) for name in sorted(names) if travels(name))
    return {name: value for name, value in found if value is not None}


def replace(path: str | int, wanted: Mapping[str, bytes]) -> int:
    """Make ``wanted`` all the attributes that travel; returns how many the filesystem cannot keep.

    What is there and not wanted goes: an ACL inherited from the parent directory, say.
    """
    follow = isinstance(path, int)
    unsupported = 0
    for name in read(path).keys() - wanted.keys():
        os.removexattr(path, name, follow_symlinks=follow)
    for name, value in wanted.items():
        try:
            os.setxattr(path, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            unsupported += 1
    return unsupported
