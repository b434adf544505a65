"""Root filesystems in and out of archives: real overlays, owners, devices, attributes, and hostile tars."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr import process
from pyodcr.errors import ArchiveInvalid, ImageInvalid, SystemFailed
from pyodcr.lifecycle.storage import diff, pack, tar, unpack
from pyodcr.lifecycle.storage.tar import Entry, Kind
from pyodcr.linux import mounts, xattrs
from tests.support.histories import CAPABILITY
from tests.support.trees import Overlay, overlay, snapshot

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filesystem that can be an overlay's upper directory, wherever the tests run."""
    place = tmp_path_factory.mktemp("trees")
    mounts.mount("tmpfs", place, "tmpfs", options="size=512m,mode=0755")
    yield place
    mounts.unmount_below(place)


@pytest.fixture
def place(scratch: Path) -> Iterator[Path]:
    path = scratch / "test"
    path.mkdir()
    yield path
    for mounted in reversed(mounts.below(path)):
        mounts.unmount(mounted.target)
    shutil.rmtree(path)


def packed(root: Path, names: tuple[str, ...] | None = None) -> bytes:
    sink = io.BytesIO()
    plan = pack.scan(root, names)
    plan.write(sink)
    assert len(sink.getvalue()) == plan.size
    return sink.getvalue()


def archive(*entries: tuple[Entry, bytes]) -> io.BytesIO:
    """A tar of exactly these headers, however odd."""
    parts = [tar.header(entry) + data + bytes(tar.padding(len(data))) for entry, data in entries]
    return io.BytesIO(b"".join(parts) + tar.END)


def entry(name: str, kind: Kind = Kind.FILE, **values: Any) -> Entry:
    facts: dict[str, Any] = {"mode": 0o644, "uid": 0, "gid": 0, "mtime_ns": 1_600_000_000_000_000_000} | values
    return Entry(name=name, kind=kind, **facts)


def file(name: str, data: bytes = b"data", **values: Any) -> tuple[Entry, bytes]:
    return entry(name, size=len(data), **values), data


def directory(name: str, **values: Any) -> tuple[Entry, bytes]:
    return entry(name, Kind.DIRECTORY, **({"mode": 0o755} | values)), b""


def link(name: str, target: str, kind: Kind = Kind.SYMLINK) -> tuple[Entry, bytes]:
    return entry(name, kind, target=target), b""


# --- a tree comes back as it was -------------------------------------------------------------------------------------


def make_everything(root: Path) -> None:
    root.mkdir()
    (root / "dir" / "deeper").mkdir(parents=True)
    (root / "plain").write_bytes(b"hello")
    (root / "empty").touch()
    (root / "dir" / "setuid").write_bytes(b"#!/bin/sh\n")
    os.chown(root / "dir" / "setuid", 1000, 2_000_000_000)
    (root / "dir" / "setuid").chmod(0o6755)
    (root / "dir" / "server").write_bytes(b"\x7fELF")
    os.setxattr(root / "dir" / "server", "security.capability", CAPABILITY)
    os.link(root / "dir" / "server", root / "server-too")
    os.setxattr(root / "plain", "user.a=b%c", bytes(range(256)))
    os.setxattr(root / "dir", "user.dir", b"")
    (root / "link").symlink_to("/etc/passwd")
    os.lchown(root / "link", 7, 8)
    os.link(root / "link", root / "link-too", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(8, 1_000_000))
    (root / ("long-" * 30) / ("name-" * 30)).mkdir(parents=True)
    (root / ("long-" * 30) / "to-afar").symlink_to("x/" * 200)
    Path(os.fsdecode(bytes(root) + b"/\xff\xfe=\n latin")).write_bytes(b"odd name")
    with (root / "sparse").open("wb") as stream:
        stream.write(b"begin")
        stream.seek(64 << 20)
        stream.write(b"end")
        stream.truncate(80 << 20)
    (root / "hole").touch()
    os.truncate(root / "hole", 1 << 40)
    os.utime(root / "plain", ns=(0, -1_500_000_000))
    os.utime(root / "dir", ns=(0, 1_234_567_890_123_456_789))
    root.chmod(0o1770)
    os.chown(root, 42, 43)


def test_a_tree_comes_back_as_it_was(place: Path) -> None:
    source, target = place / "source", place / "target"
    make_everything(source)
    os.truncate(source / "hole", 1 << 20)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
    data = packed(source)
    target.mkdir()
    done = unpack.tar(io.BytesIO(data), target)
    assert snapshot(target) == snapshot(source)
    assert not (target / "socket").exists()
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20
    root = target.stat()
    assert (stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid) == (0o1770, 42, 43)
    assert done.entries == len(list(source.rglob("*")))  # the root is one more, the socket one less
    assert len(data) < 2 << 20


def test_a_hole_of_a_terabyte_costs_nothing(place: Path) -> None:
    source, target = place / "source", place / "target"
    source.mkdir()
    (source / "hole").touch()
    os.truncate(source / "hole", 1 << 40)
    target.mkdir()
    unpack.tar(io.BytesIO(packed(source)), target)
    assert (target / "hole").stat().st_size == 1 << 40
    assert (target / "hole").stat().st_blocks == 0


def test_a_descriptor_is_unpacked_like_a_stream(place: Path) -> None:
    source, target = place / "source", place / "target"
    make_everything(source)
    target.mkdir()
    with (place / "spool").open("w+b") as spool:
        pack.scan(source, ["dir", "dir/server", "server-too"]).write(spool)
        spool.seek(0)
        assert unpack.tar(spool.fileno(), target).entries == 3
    assert (target / "server-too").samefile(target / "dir" / "server")


def test_acls_travel_and_are_not_inherited_by_accident(place: Path) -> None:
    # version 2; user::rwx user:1000:rw- group::r-x mask::rwx other::---
    acl = bytes.fromhex("02000000 01000700ffffffff 02000600e8030000 04000500ffffffff 10000700ffffffff 20000000ffffffff")
    source, target = place / "source", place / "target"
    (source / "dir").mkdir(parents=True)
    (source / "dir" / "bare").touch()
    os.setxattr(source / "dir", "system.posix_acl_default", acl)
    (source / "dir" / "heir").touch()
    target.mkdir()
    os.setxattr(target, "system.posix_acl_default", acl)
    unpack.tar(io.BytesIO(packed(source, ("dir", "dir/bare", "dir/heir"))), target)
    assert snapshot(target) == snapshot(source)
    assert "system.posix_acl_access" in xattrs.read(str(target / "dir" / "heir"))
    assert "system.posix_acl_access" not in xattrs.read(str(target / "dir" / "bare"))


def test_gnu_tar_reads_what_we_write(place: Path) -> None:
    source, target = place / "source", place / "target"
    make_everything(source)
    os.truncate(source / "hole", 1 << 20)
    target.mkdir()
    (place / "x.tar").write_bytes(packed(source))
    process.run(["tar", "-C", target, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", place / "x.tar"])
    # Where the first name of a file has capabilities, a hard link to a later one must not strip them.
    assert snapshot(target) == snapshot(source)


# --- what stands in the way ------------------------------------------------------------------------------------------


def test_whatever_stands_there_gives_way(place: Path) -> None:
    outside = place / "outside"
    outside.write_text("untouched")
    target = place / "target"
    (target / "dir-to-file" / "below").mkdir(parents=True)
    (target / "dir-to-link" / "below").mkdir(parents=True)
    (target / "file-to-dir").touch()
    (target / "link-to-file").symlink_to(outside)
    (target / "link-to-dir").symlink_to("dir-stays")
    (target / "dir-stays").mkdir()
    (target / "dir-stays" / "kept").touch()
    os.setxattr(target / "dir-stays", "user.old", b"1")
    (target / "file-to-file").write_text("a longer text than the new one")
    os.link(target / "file-to-file", target / "other-name")
    unpack.tar(
        archive(
            file("dir-to-file"),
            link("dir-to-link", "/nowhere"),
            directory("file-to-dir"),
            file("file-to-dir/new"),
            file("link-to-file"),
            directory("link-to-dir"),
            directory("dir-stays", mode=0o700, uid=5),
            file("file-to-file", b"new"),
            file("implied/parents/file"),
        ),
        target,
    )
    assert (target / "dir-to-file").read_bytes() == b"data"
    assert (target / "dir-to-link").readlink() == Path("/nowhere")
    assert (target / "file-to-dir" / "new").is_file()
    assert outside.read_text() == "untouched"
    assert (target / "link-to-file").read_bytes() == b"data"
    assert not (target / "link-to-dir").is_symlink()
    assert (target / "dir-stays" / "kept").exists()
    assert (target / "dir-stays").stat().st_uid == 5
    assert xattrs.read(str(target / "dir-stays")) == {}
    assert (target / "file-to-file").read_bytes() == b"new"
    assert (target / "other-name").read_text().startswith("a longer text")
    assert stat.S_IMODE((target / "implied").stat().st_mode) == 0o755


OUTSIDE = "/OUTSIDE"  # in a link: the directory that the target is in


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([file("../escaped")], id="dot-dot"),
        pytest.param([file("a/../../escaped")], id="dot-dot-inside"),
        pytest.param([link("out", ".."), file("out/escaped")], id="through-a-relative-link"),
        pytest.param([link("out", OUTSIDE), file("out/escaped")], id="through-an-absolute-link"),
        pytest.param([link("out", f"/../../..{OUTSIDE}"), file("out/escaped")], id="through-a-link-above-the-root"),
        pytest.param([link("escaped", "../outside", Kind.HARD_LINK)], id="hard-link"),
        pytest.param([link("l", "../outside"), link("escaped", "l", Kind.HARD_LINK)], id="hard-link-to-a-link"),
        pytest.param([link("l", f"{OUTSIDE}/outside"), file("l")], id="over-a-link"),
        pytest.param([link("d", ".."), directory("d", mode=0o777, uid=99)], id="directory-over-a-link"),
        pytest.param([link("d", OUTSIDE), directory("d/.", mode=0o777, uid=99)], id="directory-through-a-link"),
        pytest.param([link("d", OUTSIDE), file("d/outside")], id="file-through-a-link"),
    ],
)
def test_nothing_outside_the_target_is_touched(place: Path, entries: list[tuple[Entry, bytes]]) -> None:
    target = place / "target"
    target.mkdir()
    (place / "outside").write_text("untouched")
    before = place.stat()
    aimed = [(replace(entry, target=entry.target.replace(OUTSIDE, str(place))), data) for entry, data in entries]
    with contextlib.suppress(ArchiveInvalid):
        unpack.tar(archive(*aimed), target)
    assert sorted(os.listdir(place)) == ["outside", "target"]
    assert (place / "outside").read_text() == "untouched"
    after = place.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    assert (place / "outside").stat().st_nlink == 1


def test_an_absolute_name_is_below_the_target(place: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        made.addfile(tarfile.TarInfo("/absolute/file"))
    raw.seek(0)
    unpack.tar(raw, place)
    assert (place / "absolute" / "file").is_file()


def test_marks_of_overlayfs_are_not_taken_from_a_tar(place: Path) -> None:
    evil = {xattrs.OVERLAY_OPAQUE: b"y", "trusted.overlay.redirect": b"/", "user.overlay.opaque": b"y", "user.ok": b"1"}
    unpack.tar(archive(directory("d", xattrs=evil)), place)
    assert os.listxattr(place / "d") == ["user.ok"]


# --- damage, limits, full disks --------------------------------------------------------------------------------------


def test_a_tar_that_is_cut_short_is_invalid_wherever_it_is_cut(place: Path) -> None:
    whole = archive(file("a", b"x" * 700), directory("d")).getvalue()
    for cut in range(0, len(whole) - 512, 256):
        with pytest.raises(ImageInvalid) as caught:
            unpack.tar(io.BytesIO(whole[:cut]), place, invalid=ImageInvalid, name="layer 1")
        assert str(caught.value).startswith("layer 1 is invalid: it ")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([link("a", "a", Kind.HARD_LINK)], id="link-to-itself"),
        pytest.param([link("a", "missing", Kind.HARD_LINK)], id="link-to-nothing"),
        pytest.param([directory("d"), link("a", "d", Kind.HARD_LINK)], id="link-to-a-directory"),
        pytest.param([file("a"), file("a/b")], id="below-a-file"),
        pytest.param([file("x" * 300)], id="name-too-long"),
        pytest.param([link("loop", "loop"), file("loop/x")], id="loop-of-links"),
        pytest.param([file("a", xattrs={"system.posix_acl_access": b"\2\0\0\0" + b"junkjunk"})], id="junk-acl"),
        pytest.param([link(".", "x")], id="root-as-link"),
    ],
)
def test_what_cannot_be_is_the_archives_fault(place: Path, entries: list[tuple[Entry, bytes]]) -> None:
    with pytest.raises(ArchiveInvalid):
        unpack.tar(archive(*entries), place)


def test_limits(place: Path) -> None:
    two = [file("a", b"x" * 1000), file("b", b"x" * 1000)]
    unpack.tar(archive(*two), place, max_entries=2, max_bytes=2000)
    with pytest.raises(ArchiveInvalid, match="more than 1 entries"):
        unpack.tar(archive(*two), place, max_entries=1)
    with pytest.raises(ArchiveInvalid, match="more than 1999 bytes"):
        unpack.tar(archive(*two), place, max_bytes=1999)


def test_a_full_disk_says_so(place: Path) -> None:
    small = place / "small"
    small.mkdir()
    mounts.mount("tmpfs", small, "tmpfs", options="size=64k")
    with pytest.raises(SystemFailed) as caught:
        unpack.tar(archive(file("d/big", b"x" * 100_000)), small)
    assert caught.value.code == "no-space"
    assert "d/big" in str(caught.value)


def test_a_source_that_fails_is_not_taken_for_the_end(place: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ArchiveInvalid("frame 7 is damaged")

    with pytest.raises(ArchiveInvalid, match="frame 7"):
        unpack.tar(Broken(), place)


def test_a_missing_target_is_the_machines_fault(place: Path) -> None:
    with pytest.raises(SystemFailed, match="cannot unpack into"):
        unpack.tar(archive(), place / "missing")


# --- layers ----------------------------------------------------------------------------------------------------------


def test_a_layer_hides_what_is_below_it(place: Path) -> None:
    base, layer = place / "base", place / "layer"
    base.mkdir()
    layer.mkdir()
    unpack.tar(
        archive(
            *[directory(name) for name in ("opaque", "merged", "again", "again-late", "gone")],
            *[file(f"{name}/old") for name in ("opaque", "merged", "again", "again-late", "gone")],
            file("gone-file"),
            file("own-file"),
        ),
        base,
        layer=True,
    )
    unpack.tar(
        archive(
            file(".wh.gone-file", b""),
            file(".wh.gone", b""),
            file("gone/.wh.old", b""),  # some builders say it twice
            directory("opaque", mode=0o700),
            file("opaque/.wh..wh..opq", b""),
            file("opaque/new"),
            file("merged/new"),
            file(".wh.again", b""),
            directory("again"),
            file("again/new"),
            directory("again-late"),
            file("again-late/new"),
            file(".wh.again-late", b""),
            file("own-file", b"own"),
            file(".wh.own-file", b""),
            file(".wh..wh.plnk", b""),
        ),
        layer,
        layer=True,
    )
    with overlay(place / "overlay", [layer, base]) as mounted:
        found = {str(path.relative_to(mounted.merged)) for path in mounted.merged.rglob("*")}
        own = (mounted.merged / "own-file").read_bytes()
    assert found == {
        "opaque", "opaque/new", "merged", "merged/new", "merged/old", "again", "again/new",
        "again-late", "again-late/new", "own-file",
    }  # fmt: skip
    assert own == b"own"


@pytest.mark.parametrize("name", [".wh.", ".wh...", "d/.wh.."])
def test_a_whiteout_of_nothing_is_invalid(place: Path, name: str) -> None:
    with pytest.raises(ArchiveInvalid):
        unpack.tar(archive(directory("d"), file(name, b"")), place, layer=True)


def test_without_layer_such_a_name_is_a_name(place: Path) -> None:
    unpack.tar(archive(file(".wh.x")), place)
    assert (place / ".wh.x").read_bytes() == b"data"


# --- deleted files ---------------------------------------------------------------------------------------------------


def make_deletable(root: Path) -> None:
    (root / "d" / "sub").mkdir(parents=True)
    for name in ("d/old", "d/new", "d/sub/old", "d/sub/new", "other"):
        (root / name).write_text(name)
    (root / "link").symlink_to("d")


def test_deleted_files_go(place: Path) -> None:
    make_deletable(place)
    unpack.remove(place, ["/d/sub", "/missing", "/other/below-a-file", "/link/old", "/link"])
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*")) == ["d", "d/new", "d/old", "other"]


def test_a_directory_that_was_made_again_keeps_what_the_tar_brings(place: Path) -> None:
    """Podman 5.4 says ``["/d"]`` of a directory that was removed and made again, and has its new content in the tar."""
    root = place / "root"
    root.mkdir()
    make_deletable(root)
    unpack.tar(archive(file("d/new", b"brought"), file("d/sub/new", b"brought")), root, deleted=["/d"])
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == ["d", "d/new", "d/sub", "d/sub/new", "link", "other"]
    assert (root / "d" / "sub" / "new").read_bytes() == b"brought"


@pytest.mark.parametrize("path", ["/", "", ".", "/..", "/d/../..", "../outside", "/d\0", "\ud800", 7, None])
def test_a_list_of_deleted_files_that_names_no_file_inside_is_invalid(place: Path, path: Any) -> None:
    root = place / "root"
    root.mkdir()
    make_deletable(root)
    (place / "outside").touch()
    with pytest.raises(ArchiveInvalid, match=r"^deleted\.files is invalid"):
        unpack.remove(root, [path])
    with pytest.raises(ArchiveInvalid, match=r"^deleted\.files is invalid"):
        unpack.tar(archive(), root, deleted=[path])
    assert (root / "other").exists()
    assert (place / "outside").exists()


def test_removal_follows_no_link_out(place: Path) -> None:
    root = place / "root"
    root.mkdir()
    (place / "outside").mkdir()
    (place / "outside" / "file").touch()
    (root / "relative").symlink_to("../outside")
    (root / "dir").mkdir()
    (root / "dir" / "absolute").symlink_to(place / "outside")
    unpack.remove(root, ["/relative/file", "/dir"])
    assert (place / "outside" / "file").exists()
    assert os.listdir(root) == ["relative"]


def test_removal_stops_at_a_mount(place: Path) -> None:
    (place / "d" / "mnt").mkdir(parents=True)
    mounts.mount("tmpfs", place / "d" / "mnt", "tmpfs")
    (place / "d" / "mnt" / "precious").touch()
    with pytest.raises(SystemFailed):
        unpack.remove(place, ["/d"])
    assert (place / "d" / "mnt" / "precious").exists()


def test_removal_goes_as_deep_as_a_path_can(place: Path) -> None:
    unpack.tar(archive(file("d/" * 1500 + "file")), place)
    unpack.remove(place, ["/d"])
    assert os.listdir(place) == []


# --- what a container changed ----------------------------------------------------------------------------------------


def make_lowers(place: Path) -> list[Path]:
    """Two layers with everything that layers have: the upper one hides, replaces and merges with the lower one."""
    base, top = place / "base", place / "top"
    for path in (base, top):
        path.mkdir(parents=True)
        path.chmod(0o755)
    for name in ("a", "b", "c"):
        (base / name / name).mkdir(parents=True)
        for inner in ("x", "y", "z"):
            (base / name / inner).write_text(f"base {name} {inner}")
            (base / name / name / inner).write_text(f"base {name} {name} {inner}")
    (base / "x").write_text("base x")
    os.link(base / "x", base / "a" / "hard")
    (base / "y").symlink_to("a/x")
    (base / "z").write_text("base z")
    os.setxattr(base / "z", "user.z", b"z")
    (top / "a").mkdir()
    os.setxattr(top / "a", "user.a", b"a")
    (top / "a" / "x").write_text("top a x")
    os.mknod(top / "a" / "y", stat.S_IFCHR, os.makedev(0, 0))
    (top / "b").mkdir()
    os.setxattr(top / "b", xattrs.OVERLAY_OPAQUE, b"y")
    (top / "b" / "b").mkdir()
    (top / "b" / "b" / "z").write_text("top b b z")
    (top / "c").mkdir()
    os.mknod(top / "c" / "c", stat.S_IFCHR, os.makedev(0, 0))
    for path in (base, top):
        for found in [path, *path.rglob("*")]:
            os.utime(found, ns=(0, 1_500_000_000_111_222_333), follow_symlinks=False)
    return [top, base]


@pytest.fixture(scope="module")
def lowers(scratch: Path) -> list[Path]:
    return make_lowers(scratch / "lowers")


@pytest.fixture
def container(place: Path, lowers: list[Path]) -> Iterator[Overlay]:
    with overlay(place / "container", lowers) as mounted:
        yield mounted


def changes(container: Overlay) -> str:
    """``podman diff``'s lines, in one."""
    found = diff.changes(container.upper, container.lowers)
    kinds = [("A", found.added), ("C", found.modified), ("D", found.deleted)]
    return " ".join(sorted(f"{kind}:{path}" for kind, paths in kinds for path in paths))


def test_nothing_changed(container: Overlay) -> None:
    assert changes(container) == ""


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda root: (root / "new").touch(), "A:/new"),
        (lambda root: (root / "a" / "a" / "new").touch(), "A:/a/a/new C:/a C:/a/a"),
        (lambda root: (root / "x").write_text("!"), "C:/x"),
        (lambda root: (root / "x").unlink(), "D:/x"),
        (lambda root: (root / "a" / "x").unlink(), "C:/a D:/a/x"),
        (lambda root: shutil.rmtree(root / "a"), "D:/a"),
        (lambda root: (root / "a").chmod(0o700), "C:/a"),
        (lambda root: (root / "x").chmod(0o700), "C:/x"),
        (lambda root: os.chown(root / "a", 3, 4), "C:/a"),
        (lambda root: os.setxattr(root / "a", "user.new", b""), "C:/a"),
        (lambda root: os.removexattr(root / "a", "user.a"), "C:/a"),
        (lambda root: root.chmod(0o700), "C:/"),
        (lambda root: (root / "a" / "y").write_text("hidden by a layer"), "A:/a/y C:/a"),
        (lambda root: (root / "b" / "x").mkdir(), "A:/b/x C:/b"),
        (lambda root: (root / "c" / "c").mkdir(), "A:/c/c C:/c"),
        (lambda root: ((root / "new").touch(), (root / "new").unlink()), ""),
        (lambda root: (root / "run" / "x").mkdir(parents=True), "A:/run/x"),
        (lambda root: (root / "proc").mkdir(), ""),
    ],
)
def test_one_change(container: Overlay, act: Callable[[Path], object], expected: str) -> None:
    act(container.merged)
    assert changes(container) == expected


def test_a_directory_made_again(container: Overlay) -> None:
    shutil.rmtree(container.merged / "a")
    (container.merged / "a" / "a").mkdir(parents=True)
    (container.merged / "a" / "a" / "y").write_text("again")
    (container.merged / "a" / "new").touch()
    # /a/y is not named: a layer hid it already
    assert changes(container) == "A:/a/new C:/a C:/a/a C:/a/a/y D:/a/a/x D:/a/a/z D:/a/hard D:/a/x D:/a/z"
    names = diff.archive_names(container.upper, container.lowers)
    assert list(names.names) == ["a", "a/new", "a/a", "a/a/y"]
    assert names.deleted == ("/a/a/x", "/a/a/z", "/a/hard", "/a/x", "/a/z")


def test_changes_of_kind(container: Overlay) -> None:
    root = container.merged
    shutil.rmtree(root / "a")
    (root / "a").write_text("was a directory")
    (root / "x").unlink()
    (root / "x").mkdir()
    (root / "x" / "in").touch()
    (root / "z").unlink()
    (root / "z").symlink_to("x")
    assert changes(container) == "A:/x/in C:/a C:/x C:/z"


def test_a_socket_in_the_place_of_a_file_deletes_it(container: Overlay) -> None:
    (container.merged / "x").unlink()
    for name in ("x", "new"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(container.merged / name))
    found = diff.changes(container.upper, container.lowers)
    assert (found.added, found.modified) == (("/new",), ("/x",))
    names = diff.archive_names(container.upper, container.lowers)
    assert (list(names.names), names.deleted) == ([], ("/x",))


def test_a_directory_in_which_nothing_differs_does_not_travel(container: Overlay) -> None:
    time = (container.merged / "a" / "a").stat().st_mtime_ns
    (container.merged / "a" / "a" / "new").touch()
    (container.merged / "a" / "a" / "new").unlink()
    for name in ("a/a", "a"):
        os.utime(container.merged / name, ns=(0, time))
    assert changes(container) == ""
    assert not diff.archive_names(container.upper, container.lowers).names
    os.mkdir(container.merged / "a" / "a" / "new")
    os.utime(container.merged / "a" / "a", ns=(0, time))
    assert list(diff.archive_names(container.upper, container.lowers).names) == ["a", "a/a", "a/a/new"]


def test_whiteouts_of_nothing_are_nothing(container: Overlay) -> None:
    os.mknod(container.upper / "nothing", stat.S_IFCHR, os.makedev(0, 0))
    assert changes(container) == ""


def test_whiteouts_by_attribute(place: Path, lowers: list[Path]) -> None:
    upper = place / "upper"
    upper.mkdir(mode=0o755)
    for name in ("x", "z"):
        (upper / name).touch()
    os.setxattr(upper / "x", xattrs.OVERLAY_WHITEOUT, b"")
    found = diff.changes(upper, lowers)
    assert (found.modified, found.deleted) == (("/z",), ("/x",))


def test_a_link_in_the_upper_directory_is_not_followed(container: Overlay, place: Path) -> None:
    (place / "host").mkdir()
    (place / "host" / "secret").touch()
    (container.merged / "link").symlink_to(place / "host")
    assert changes(container) == "A:/link"
