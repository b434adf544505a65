"""The image that both engines import: Debian's python3, the workload, and busybox for containers that idle."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

from bench import workload

PYTHON = "/usr/bin/python3"
TREE = "tree"
LEFT_OUT = ("test", "idlelib", "tkinter", "ensurepip", "pydoc_data", "__pycache__", "turtledemo", "lib2to3")


def build(directory: Path) -> Path:
    """Make the tree below ``directory``; the tarball of it."""
    tree = directory / TREE
    for name in ("clock", "dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "var", "bin"):
        (tree / name).mkdir(parents=True)
    linked = subprocess.run(["ldd", PYTHON], capture_output=True, text=True, check=True).stdout
    for library in (word for word in linked.split() if word.startswith("/")):
        _copy(Path(library), tree)
    _copy(Path("/bin/busybox"), tree)
    shutil.copy(PYTHON, tree / "usr/bin/python3")
    modules = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(modules, tree / modules.relative_to("/"), ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy(workload.__file__, tree / "workload.py")
    tarball = directory / "image.tar"
    subprocess.run(["tar", "-C", tree, "-cf", tarball, "."], check=True)
    return tarball


def _copy(path: Path, tree: Path) -> None:
    place = tree / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)


def command(size_mib: int, files: int) -> list[str]:
    return ["/usr/bin/python3", "-I", "-S", "/workload.py", str(size_mib), str(files)]


IDLE = ["/bin/busybox", "sleep", "1000000"]
