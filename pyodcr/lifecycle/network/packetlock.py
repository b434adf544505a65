"""CRIU's packet lock on a network namespace: put there before CRIU can, taken away when CRIU cannot.

A peer of a frozen connection goes on sending. Between the moment a restored network comes up and
CRIU's own lock, the empty namespace would answer it with a reset, so we put CRIU's very chain there
first; a restore with ``network-lock iptables`` then removes it as its own. And a CRIU that was
killed leaves its lock behind, which cuts the container off for ever (:func:`unlock`, which may be repeated).

The chain is that of criu/net.c, iptables_network_lock_internal(); its nftables form is a table
``inet CRIU-<run id>``.
"""

from __future__ import annotations

from pathlib import Path

from pyodcr import jsonio, process
from pyodcr.errors import NetworkFailed
from pyodcr.lifecycle.network.netns import inside

CHAIN = "CRIU"
TABLE_PREFIX = "CRIU-"
MARK = 0xC114  # soccr/soccr.h: what the restored sockets' own packets carry
FAMILIES = ("iptables", "ip6tables")

_LOCK = f"""\
*filter
:{CHAIN} - [0:0]
-I INPUT -j {CHAIN}
-I OUTPUT -j {CHAIN}
-A {CHAIN} -m mark --mark {MARK:#x} -j ACCEPT
-A {CHAIN} -j DROP
COMMIT
"""


def lock(netns: Path) -> None:
    """Let nothing in or out of a new namespace but packets that carry CRIU's mark."""
    for tool in FAMILIES:
        if tool == "iptables" or Path("/proc/sys/net/ipv6").exists():
            _restore(netns, tool, _LOCK)


def unlock(netns: Path) -> None:
    """Remove every lock that CRIU, or :func:`lock`, left in the namespace."""
    for tool in FAMILIES:
        if process.which(tool) is not None:
            _remove_chain(netns, tool)
    if process.which("nft") is not None:
        _remove_tables(netns)


def _restore(netns: Path, tool: str, rules: str) -> None:
    argv = inside(netns, f"{tool}-restore", "-w", "--noflush")
    process.run(argv, stdin=rules.encode(), failure=NetworkFailed)


def _remove_chain(netns: Path, tool: str) -> None:
    saved = process.run(inside(netns, f"{tool}-save", "-t", "filter"), failure=NetworkFailed).stdout.splitlines()
    jumps = [f"-D{line[2:]}" for line in saved if line.startswith("-A ") and line.endswith(f" -j {CHAIN}")]
    declared = any(line.startswith(f":{CHAIN} ") for line in saved)
    if jumps:
        _restore(netns, tool, "\n".join(["*filter", *jumps, "COMMIT", ""]))
    if declared:  # a second transaction: iptables-nft refuses to delete a chain its own batch still jumps to
        _restore(netns, tool, f"*filter\n-F {CHAIN}\n-X {CHAIN}\nCOMMIT\n")


def _remove_tables(netns: Path) -> None:
    listed = process.run(inside(netns, "nft", "-j", "list", "tables"), failure=NetworkFailed)
    for entry in jsonio.loads(listed.stdout, "the answer of nft").get("nftables", []):
        table = entry.get("table", {})
        if table.get("family") == "inet" and str(table.get("name", "")).startswith(TABLE_PREFIX):
            argv = inside(netns, "nft", "delete", "table", "inet", "handle", str(table["handle"]))
            process.run(argv, failure=NetworkFailed)
