"""Any history of a root filesystem: what a diff, a tar and a list of deletions make of it is the same tree again."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyodcr.lifecycle.storage import diff, pack, unpack
from pyodcr.linux import mounts
from tests.support.histories import CAPABILITY, SECOND, History, acl, deep, histories, perform
from tests.support.trees import Node, Overlay, allocated, overlay, snapshot

pytestmark = pytest.mark.root

EXAMPLES = int(os.environ.get("TREE_EXAMPLES", "60"))
FILLED_HOLES_BYTES = 1 << 17  # small holes are not kept
XATTR_PAX = "SCHILY.xattr."

_numbers = itertools.count()
examples = settings(
    max_examples=EXAMPLES,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=["tmpfs", "disk"])
def scratch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place that can hold an overlay's upper directory: of a filesystem that takes everything, and of a real one."""
    if request.param == "disk":
        place = Path(tempfile.mkdtemp(dir="/var/lib/pyodcr", prefix="trees-"))
        yield place
    else:
        place = tmp_path_factory.mktemp("trees")
        mounts.mount("tmpfs", place, "tmpfs", options="size=512m,mode=0755")
        yield place
        mounts.unmount_below(place)
    shutil.rmtree(place)


def make_base(base: Path) -> None:
    """A layer with directories, files, hard links and attributes for a history to meet."""
    base.mkdir()
    base.chmod(0o755)
    for name in ("a", "b", "c"):
        (base / name / "a").mkdir(parents=True)
        for inner in ("b", "c"):
            (base / name / inner).write_text(f"base {name} {inner}")
            (base / name / "a" / inner).write_text(f"base {name} a {inner}")
    os.link(base / "a" / "b", base / "b" / "a" / "hard")
    os.link(base / "c" / "c", base / "c" / "other")
    (base / "a" / "link").symlink_to("b")
    os.mkfifo(base / "b" / "fifo")
    os.setxattr(base / "a" / "c", "user.a", b"1")
    os.setxattr(base / "b", "system.posix_acl_default", acl(6))
    os.setxattr(base / "c" / "b", "security.capability", CAPABILITY)
    for found in base.rglob("*"):
        os.utime(found, ns=(0, 1_500_000_000_111_222_333), follow_symlinks=False)


def layers(place: Path, before: list[History]) -> list[Path]:
    """Lower directories, topmost first: a base, and each history before as what an overlay kept of it."""
    place.mkdir()
    make_base(place / "base")
    found = [place / "base"]
    for number, history in enumerate(before):
        with overlay(place / str(number), found, keep=True) as made:
            perform(made.merged, history)
        found.insert(0, made.upper)
    return found


def packed(source: Overlay) -> tuple[diff.ArchiveNames, bytes]:
    names = diff.archive_names(source.upper, source.lowers)
    sink = io.BytesIO()
    plan = pack.scan(source.merged, names.names)
    plan.write(sink)
    assert len(sink.getvalue()) == plan.size
    for deleted in names.deleted:
        relative = deleted.lstrip("/")
        assert not any(name == relative or name.startswith(f"{relative}/") for name in names.names)
    found = diff.changes(source.upper, source.lowers)
    assert {*found.deleted} <= {*names.deleted}
    changed = {path.lstrip("/") or "." for path in (*found.added, *found.modified)}
    assert {*names.names} <= changed
    assert all(stat.S_ISSOCK(os.lstat(source.upper / path).st_mode) for path in changed - {*names.names})
    return names, sink.getvalue()


def untar_as_podman(data: bytes, root: Path) -> None:
    """The rules of Podman's untar (containers/storage, pkg/archive, Unpack) with Python's reader."""
    directories = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            path = root / member.name
            if member.name == ".":
                continue
            with suppress(FileNotFoundError):
                if not (stat.S_ISDIR(path.lstat().st_mode) and member.isdir()):
                    remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            match member.type:
                case tarfile.DIRTYPE:
                    path.mkdir(exist_ok=True)
                    directories.append((path, mtime_ns(member)))
                case tarfile.SYMTYPE:
                    path.symlink_to(member.linkname)
                case tarfile.LNKTYPE:
                    os.link(root / member.linkname, path, follow_symlinks=False)
                case tarfile.FIFOTYPE:
                    os.mkfifo(path)
                case tarfile.CHRTYPE | tarfile.BLKTYPE:
                    kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
                    os.mknod(path, kind, os.makedev(member.devmajor, member.devminor))
                case _:
                    archive.makefile(member, path)
            os.lchown(path, member.uid, member.gid)
            for key, value in member.pax_headers.items():
                if key.startswith(XATTR_PAX):
                    name = key.removeprefix(XATTR_PAX).replace("%3D", "=").replace("%25", "%")
                    os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(member.mode)
            os.utime(path, ns=(0, mtime_ns(member)), follow_symlinks=False)
    for path, time in directories:
        os.utime(path, ns=(0, time))


def as_podman_leaves_it(tree: dict[str, object], expected: dict[str, object]) -> dict[str, object]:
    """It removes last, so directories have the time of that; and an ACL that a new file inherits stays."""
    left: dict[str, object] = {}
    for path, node in tree.items():
        wanted = expected.get(path)
        if isinstance(node, Node) and isinstance(wanted, Node):
            inherited = {name for name in node.xattrs.keys() - wanted.xattrs.keys() if "posix_acl" in name}
            kept = {name: value for name, value in node.xattrs.items() if name not in inherited}
            time = 0 if node.mode.startswith("d") else node.mtime_ns
            left[path] = node._replace(xattrs=kept, mtime_ns=time)
        else:
            left[path] = node
    return left


def mtime_ns(member: tarfile.TarInfo) -> int:
    """Exactly: Python's reader makes a float of it."""
    return int(Decimal(member.pax_headers.get("mtime", member.mtime)) * SECOND)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@given(st.lists(histories(longest=15), max_size=2), histories())
@examples
def test_any_history_travels(scratch: Path, before: list[History], history: History) -> None:
    place = scratch / str(next(_numbers))
    lowers = layers(place, before)
    with overlay(place / "source", lowers) as source:
        perform(source.merged, history)
        names, data = packed(source)
        expected, on_disk = snapshot(source.merged), allocated(source.merged)

    with overlay(place / "copy", lowers) as copy:
        unpack.remove(copy.merged, names.deleted)
        unpack.tar(io.BytesIO(data), copy.merged)
        assert snapshot(copy.merged) == expected
        for path, size_bytes in allocated(copy.merged).items():
            assert size_bytes <= on_disk[path] + FILLED_HOLES_BYTES, path
        again, _ = packed(copy)
        assert (list(again.names), again.deleted) == (list(names.names), names.deleted)

    with overlay(place / "at-once", lowers) as copy:
        unpack.tar(io.BytesIO(data), copy.merged, deleted=names.deleted)
        assert snapshot(copy.merged) == expected

    with overlay(place / "podman", lowers) as copy:
        untar_as_podman(data, copy.merged)
        for deleted in names.deleted:
            remove(copy.merged / deleted.lstrip("/"))
        assert as_podman_leaves_it(snapshot(copy.merged), expected) == as_podman_leaves_it(expected, expected)
    shutil.rmtree(place)


def test_paths_longer_than_the_kernel_takes_travel(scratch: Path) -> None:
    place = scratch / "deep"
    lowers = layers(place, [])
    with overlay(place / "source", lowers) as source:
        perform(source.merged, [(deep, "a", 20), (deep, "b", 17), (os.rename, "b", "c/deep")])
        names, data = packed(source)
        expected = snapshot(source.merged)
    assert max(map(len, expected)) > 5000
    with overlay(place / "copy", lowers) as copy:
        unpack.remove(copy.merged, names.deleted)
        unpack.tar(io.BytesIO(data), copy.merged)
        assert snapshot(copy.merged) == expected
    shutil.rmtree(place)
