"""Root filesystems on real overlayfs: what is mounted, what is written where, and every half state of teardown."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyodcr.errors import SystemFailed, Unsupported
from pyodcr.lifecycle.storage import overlay
from pyodcr.linux import mounts

pytestmark = pytest.mark.root


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    path = tmp_path / "lower"
    (path / "dir").mkdir(parents=True)
    (path / "dir/file").write_bytes(b"x" * 100_000)
    (path / "old").write_text("old")
    return path


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "container"
    yield path
    mounts.unmount_below(path.resolve())


def propagation(target: Path) -> list[str]:
    """The optional fields of mountinfo: empty for a private mount."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == str(target):
            return fields[6 : fields.index("-")]
    raise AssertionError(f"{target} is not mounted")


def test_changes_go_to_the_upper_directory(lower: Path, container: Path) -> None:
    root = overlay.mount(container, [lower])
    (root / "new").write_text("12345")
    (root / "old").unlink()
    overlay.unmount(container)
    assert (lower / "old").read_text() == "old"
    assert sorted(os.listdir(container)) == ["diff", "work"]
    assert (container / "diff/new").read_text() == "12345"
    info = os.lstat(container / "diff/old")
    assert stat.S_ISCHR(info.st_mode)
    assert info.st_rdev == 0
    assert sorted(os.listdir(overlay.mount(container, [lower]))) == ["dir", "new"]


def test_the_mount_is_private(lower: Path, container: Path) -> None:
    outer = container.parent / "shared"
    outer.mkdir()
    mounts.bind(outer, outer)
    try:
        mounts.mount("none", outer, flags=1 << 20)  # MS_SHARED
        root = overlay.mount(outer / "c", [lower])
        assert propagation(outer) != []
        assert propagation(root) == []
    finally:
        mounts.unmount_below(outer)


def test_mounting_and_unmounting_again_is_harmless(lower: Path, container: Path) -> None:
    assert overlay.mount(container, [lower]) == overlay.mount(container, [lower])
    assert len(mounts.below(container)) == 1
    overlay.unmount(container)
    overlay.unmount(container)
    assert mounts.below(container) == []


def test_teardown_from_half_states(lower: Path, container: Path, tmp_path: Path) -> None:
    overlay.unmount(container)  # never made

    root = overlay.mount(container, [lower])
    (root / "proc").mkdir()
    mounts.mount("tmpfs", root / "proc", "tmpfs")  # as a killed runtime leaves it
    mounts.bind(tmp_path, root)  # and something over it
    with (container / "diff/dir-holder").open("w"):
        overlay.unmount(container)
    assert mounts.below(container) == []
    assert (lower / "old").exists()

    (container / "merged").mkdir()  # died between mkdir and mount
    overlay.mount(container, [lower])
    overlay.unmount(container)

    (container / ".diff.new").mkdir()  # died while the upper directory was made
    (container / "diff/dir-holder").unlink()
    (container / "diff/proc").rmdir()
    (container / "diff").rmdir()
    overlay.mount(container, [lower])
    assert not (container / ".diff.new").exists()


def test_a_busy_mount_goes_all_the_same(lower: Path, container: Path) -> None:
    with (overlay.mount(container, [lower]) / "busy").open("w"):
        overlay.unmount(container)
        assert not mounts.is_mounted(container / "merged")


def test_the_root_looks_as_the_lower_one(lower: Path, container: Path) -> None:
    os.chown(lower, 12, 34)
    lower.chmod(0o2751)
    os.setxattr(lower, "user.note", b"kept")
    os.setxattr(lower, "trusted.overlay.opaque", b"y")
    info = overlay.mount(container, [lower]).stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (12, 34, 0o2751)
    assert os.getxattr(container / "diff", "user.note") == b"kept"
    assert "trusted.overlay.opaque" not in os.listxattr(container / "diff")
    overlay.unmount(container)
    (container / "diff").chmod(0o700)  # what the container did to it stays
    assert stat.S_IMODE(overlay.mount(container, [lower]).stat().st_mode) == 0o700


def test_read_only(lower: Path, container: Path) -> None:
    root = overlay.mount(container, [lower], read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        (root / "new").touch()
    assert (root / "old").read_text() == "old"


def test_volatile_survives_an_unclean_end(lower: Path, container: Path) -> None:
    (overlay.mount(container, [lower], volatile=True) / "new").touch()
    assert (container / "work/work/incompat/volatile").exists()
    overlay.unmount(container)
    (container / "work/work/incompat/volatile").mkdir(parents=True, exist_ok=True)
    assert (overlay.mount(container, [lower], volatile=True) / "new").exists()


def test_an_upper_directory_elsewhere(lower: Path, container: Path, tmp_path: Path) -> None:
    root = overlay.mount(container, [lower], upper=tmp_path / "mine/u", work=tmp_path / "mine/w")
    (root / "new").touch()
    assert (tmp_path / "mine/u/new").exists()


def test_odd_characters_in_paths(tmp_path: Path) -> None:
    odd = tmp_path / "a:b,c\\d e\nf"
    lowers = [odd / "l:1", odd / "l,2"]
    for path in lowers:
        path.mkdir(parents=True)
        (path / path.name).touch()
    root = overlay.mount(odd / "c", lowers)
    try:
        (root / "new").touch()
        assert sorted(os.listdir(root)) == ["l,2", "l:1", "new"]
        assert (odd / "c/diff/new").exists()
    finally:
        mounts.unmount_below(odd)


def test_hundreds_of_lower_directories(tmp_path: Path, container: Path) -> None:
    links = tmp_path / "l"
    links.mkdir()
    lowers = []
    for number in range(250):
        real = tmp_path / "layers" / f"{number:064}"
        real.mkdir(parents=True)
        (real / "number").write_text(str(number))
        (real / f"f{number}").touch()
        lowers.append(links / f"{number:012}")
        lowers[-1].symlink_to(real)
    before = os.getcwd()
    root = overlay.mount(container, lowers)
    assert os.getcwd() == before
    assert len(os.listdir(root)) == 251
    assert (root / "number").read_text() == "0"  # the first is topmost


def test_more_than_overlayfs_can(lower: Path, container: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="501 layers"):
        overlay.mount(container, [lower] * 501)
    far_apart = [tmp_path / ("x" * 200) / str(number) for number in range(30)]
    for path in far_apart:
        path.mkdir(parents=True)
    with pytest.raises(Unsupported, match="do not fit"):
        overlay.mount(container, [*far_apart, lower])
    assert mounts.below(container) == []


def test_overlayfs_on_overlayfs_is_explained(lower: Path, container: Path, tmp_path: Path) -> None:
    root = overlay.mount(container, [lower])
    with pytest.raises(Unsupported, match="it is on overlay") as caught:
        overlay.mount(root / "inner", [lower])
    assert "--root" in str(caught.value.hint)


def test_a_missing_layer_is_named(lower: Path, container: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemFailed, match="gone"):
        overlay.mount(container, [lower, tmp_path / "gone"])
    assert mounts.below(container) == []
    assert not (container / "merged").exists()


def test_layers_that_overlap_are_refused(lower: Path, container: Path) -> None:
    with pytest.raises(SystemFailed, match="comes twice"):
        overlay.mount(container, [lower, lower])
    with pytest.raises(SystemFailed, match="lies inside"):
        overlay.mount(container, [lower, container / "diff"])


def test_a_layer_may_lie_inside_its_lower_directory(lower: Path) -> None:
    """``--rootfs /:O`` with the engine's root below ``/``."""
    root = overlay.mount(lower / "container", [lower])
    try:
        (root / "new").touch()
        assert not (lower / "new").exists()
    finally:
        mounts.unmount_below(lower)


def test_diffs_are_whole_whatever_the_module_parameters_say(lower: Path, container: Path) -> None:
    """With metacopy and redirect_dir on, the upper directory would hold zeros and a directory without its file."""
    saved = {name: overlay.PARAMETERS / name for name in ("metacopy", "redirect_dir", "index")}
    before = {path: path.read_text() for path in saved.values()}
    if not os.access(saved["metacopy"], os.W_OK):
        pytest.skip("the parameters of overlayfs cannot be changed here")
    try:
        for path in before:
            path.write_text("Y")
        root = overlay.mount(container, [lower])
    finally:
        for path, value in before.items():
            path.write_text(value)
    os.chown(root / "dir/file", 5, 5)
    with pytest.raises(OSError, match="cross-device"):
        os.rename(root / "dir", root / "renamed")
    assert (container / "diff/dir/file").read_bytes() == b"x" * 100_000


def test_size_counts_what_was_written(lower: Path, container: Path) -> None:
    root = overlay.mount(container, [lower])
    assert overlay.size(container) == 0
    (root / "a").write_bytes(b"x" * 1000)
    os.link(root / "a", root / "b")
    (root / "sub").mkdir()
    (root / "sub/c").write_bytes(b"y" * 24)
    (root / "old").unlink()
    assert overlay.size(container) == 1024
    overlay.unmount(container)
    assert overlay.size(container) == 1024
    assert overlay.size(container / "never") == 0
