"""A root filesystem with Redis, made of nothing but Debian's packages as they are installed in the pristine tree."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

TREE = Path("/.tree")
PROGRAM = "/usr/bin/redis-server"
PACKAGES = ("base-files", "redis-server", "redis-tools")
# made by the packages' installation, so no package lists them
MADE = ("/etc/passwd", "/etc/group", "/var/lib/redis")
LEFT_OUT = ("/usr/share/", "/usr/include/", "/gconv/")
NAME = "localhost/redis:debian"
CHANGES = (
    'CMD ["redis-server", "--save", "", "--protected-mode", "no"]',
    "EXPOSE 6379",
)


@dataclass(frozen=True, slots=True)
class Tarball:
    path: Path
    packages: tuple[str, ...]
    version: str
    files: int
    size_bytes: int


def build(target: Path) -> Tarball:
    """Write the tarball of Redis' packages and those of the libraries it is linked with."""
    packages = (*PACKAGES, *_library_packages())
    listed = [line for line in _lines("dpkg-query", "--listfiles", *packages) if line.startswith("/")]
    names = sorted({*listed, *MADE} - {"/."})
    count = 0
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            source = TREE / name.lstrip("/")
            if not any(part in name for part in LEFT_OUT) and os.path.lexists(source):
                archive.add(source, arcname=name.lstrip("/"), recursive=False)
                count += 1
    (version,) = _lines("dpkg-query", "--show", "--showformat=${Version}\\n", "redis-server")
    return Tarball(target, packages, version, count, target.stat().st_size)


def _library_packages() -> list[str]:
    libraries = {str(Path(word).resolve()) for word in " ".join(_lines("ldd", PROGRAM)).split() if word[0] == "/"}
    return sorted({line.partition(":")[0] for line in _lines("dpkg-query", "--search", *libraries)})


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
