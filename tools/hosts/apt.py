"""The machine's own package configuration: which mirror, and how it is reached.

The repository names no mirror. The tree is made from the one this machine uses itself, through the same proxies.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import HostError

# Settings that say how to reach a mirror or how far to trust its dates; the rest belongs to the machine alone.
CARRIED_SETTINGS = (
    "Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Retries", "Acquire::ForceIP", "Acquire::Queue-Mode",
    "Acquire::Check-", "Acquire::Max-", "Acquire::Min-",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of sources.list(5): an address, its suites and its components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def _one_line_sources(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if not words or words[0] != "deb":
            continue
        words = words[1:]
        if words and words[0].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), len(words))
            words = words[end + 1 :]
        if len(words) >= 2:
            yield Source(words[0], (words[1],), tuple(words[2:]))


def _deb822_sources(text: str) -> Iterator[Source]:
    for stanza in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield Source(uri, tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split()))


def sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Every enabled binary repository of the machine, in the order apt reads them."""
    found: list[Source] = []
    parts = sorted((etc_apt / "sources.list.d").glob("*")) if (etc_apt / "sources.list.d").is_dir() else []
    for path in [etc_apt / "sources.list", *parts]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".list":
            found += _one_line_sources(text)
        elif path.suffix == ".sources":
            found += _deb822_sources(text)
    return found


def pick_mirror(candidates: list[Source], *, codename: str) -> str | None:
    """The address of Debian's main archive among the machine's sources; security and foreign archives do not count."""
    for source in candidates:
        is_archive = codename in source.suites and "main" in source.components
        if is_archive and source.uri.startswith(("http://", "https://")):
            return source.uri.rstrip("/")
    return None


def mirror() -> str:
    """`DEBIAN_MIRROR`, or the archive this machine installs from. Raises HostError when there is neither."""
    if named := os.environ.get("DEBIAN_MIRROR"):
        return named.rstrip("/")
    release = _os_release()
    found = (
        pick_mirror(sources(), codename=release.get("VERSION_CODENAME", "")) if release.get("ID") == "debian" else None
    )
    if found is None:
        raise HostError(
            "no debian mirror found in this machine's apt sources",
            hint="name one: DEBIAN_MIRROR=http://.../debian make test",
        )
    return found


def _os_release() -> dict[str, str]:
    pairs = (line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


def carried_settings() -> str:
    """The machine's apt settings that the tree needs too, as the text of an apt.conf.d file."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    kept = [line for line in dump.splitlines() if line.startswith(CARRIED_SETTINGS) and "Auto-Detect" not in line]
    # The index of the newer suite may be past its date on a mirror that is frozen or slow.
    return "\n".join([*kept, 'Acquire::Check-Valid-Until "false";', 'Acquire::Retries "3";', ""])


def proxy_environment() -> dict[str, str]:
    """Proxies for the tools that do not read apt's configuration (debootstrap fetches with wget)."""
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "no", "all")]
    found = {name: os.environ[name] for upper in names for name in (upper, upper.upper()) if name in os.environ}
    for scheme in ("http", "https"):
        query = ["apt-config", "shell", "P", f"Acquire::{scheme}::Proxy"]
        answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        value = "".join(shlex.split(answer)).removeprefix("P=")
        if value and value != "DIRECT" and f"{scheme}_proxy" not in found:
            found[f"{scheme}_proxy"] = value
    return found
