"""What the test host's tree is made of. A change here changes the key, and with it the tree."""

from __future__ import annotations

import hashlib
import json
import platform

SUITE = "trixie"
NEWER_SUITE = "forky"

BASE_PACKAGES = (
    # the container stack, all of the stable suite, so that nothing below drags in a newer libc
    "podman", "conmon", "netavark", "aardvark-dns", "crun", "runc", "iptables", "nftables", "checkpointctl", "skopeo",
    "catatonit", "golang-github-containers-common", "golang-github-containers-image",
    # Python, and what pycriu needs
    "python3", "python3-venv", "python3-protobuf",
    # what tests put into containers, and the tools that look at them from outside
    "busybox-static", "redis-server", "redis-tools", "openssh-client", "openssh-server", "iproute2", "procps",
    "psmisc", "util-linux", "mount", "kmod", "attr", "strace", "tar", "zstd", "xz-utils", "btrfs-progs", "e2fsprogs",
    "ca-certificates", "git", "make", "less",
)  # fmt: skip

# CRIU must know the running kernel: >= 6.16 needs 4.2, the stable suite has 4.1. Two steps, in this order: with
# everything in one go apt resolves the newer runtimes by upgrading libc.
NEWER_PACKAGES = (
    ("criu", "libcriu2", "libcompel1", "libnl-3-200", "python3-pycriu"),
    ("crun", "runc"),
)

MOUNT_POINTS = ("opt/venv", "src", "shared", ".tree", ".hosts", "var/lib/pyodcr", "var/lib/containers")

FILES = {
    # Podman is a peer in the tests; without systemd it needs to be told so.
    "etc/containers/containers.conf": (
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n\n[containers]\nlog_driver = "k8s-file"\n'
    ),
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/apt/preferences.d/newer": f"Package: *\nPin: release n={NEWER_SUITE}\nPin-Priority: 90\n",
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",  # no service starts inside the tree
}


def key() -> str:
    """The name of the tree this recipe makes: the suite and a digest of everything that shapes it."""
    facts = [SUITE, NEWER_SUITE, BASE_PACKAGES, NEWER_PACKAGES, MOUNT_POINTS, FILES, platform.machine()]
    return f"{SUITE}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"
