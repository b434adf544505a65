"""The root filesystem of a container: read-only lower layers with a writable one over them.

LAYER_DIR
├── diff/      what the container changed (overlayfs' upperdir)
├── work/      the kernel's own
└── merged/    where it is mounted; there only while it is

The same makes ``--rootfs DIR:O`` and ``-v DIR:/x:O``: one lower directory, a layer to throw away.

``redirect_dir``, ``metacopy`` and ``index`` are off, and said so, whatever the host's module parameters or
storage.conf say: with them on, the upper directory holds renamed directories without their children and
changed files without their content, so every diff and archive made of it would be silently wrong.

Format and options: Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pyodcr.errors import PyodcrError, SystemFailed, Unsupported
from pyodcr.linux import files, mounts, workdir
from pyodcr.linux.files import remove_tree

MAX_LOWERS = 500  # OVL_MAX_STACK
MAX_OPTION_BYTES = 4095  # mount(2) copies one page, and cuts what is longer without a word
FAITHFUL = ("redirect_dir=off", "metacopy=off", "index=off")
PARAMETERS = Path("/sys/module/overlay/parameters")


def mount(
    layer_dir: Path,
    lowers: Sequence[Path],
    *,
    label: str = "",
    read_only: bool = False,
    volatile: bool = False,
    upper: Path | None = None,
    work: Path | None = None,
) -> Path:
    """Mount ``layer_dir`` over ``lowers``, topmost first, and return the place; if it is mounted, that is all.

    ``label`` is the SELinux label that every file shows, ``volatile`` gives up the durability of what is
    written for speed. ``upper`` and ``work``, both or neither, replace ``diff`` and ``work``.
    """
    layer_dir = files.make_directory(layer_dir).resolve()  # as mountinfo shows it
    merged = layer_dir / "merged"
    if mounts.is_mounted(merged):
        return merged
    upper, work = upper or layer_dir / "diff", work or layer_dir / "work"
    if len(lowers) > MAX_LOWERS:
        raise Unsupported(f"{len(lowers)} layers are more than the {MAX_LOWERS} that overlayfs takes")
    _make_upper(upper, lowers[0])
    files.make_directory(work)
    files.make_directory(merged)
    if volatile:
        # Left by an unclean shutdown, it makes the kernel refuse; that such a layer may be incomplete was accepted.
        remove_tree(work / "work" / "incompat")
    try:
        _mount(merged, lowers, upper, work, label=label, read_only=read_only, volatile=volatile)
        mounts.make_private(merged)
    except SystemFailed as error:
        unmount(layer_dir)
        raise _explained(error, lowers, upper) from error
    return merged


def unmount(layer_dir: Path) -> None:
    """Unmount, with all that was mounted inside; from any half state, and again without harm."""
    merged = layer_dir.resolve() / "merged"
    mounts.unmount_below(merged)
    with suppress(OSError):  # not there; or not empty: then it is no mount point of ours
        merged.rmdir()


def size(layer_dir: Path) -> int:
    """Bytes in files that the container made or changed; hard links count once."""
    return sum(_sizes(layer_dir / "diff", set()))


def _sizes(directory: Path, seen: set[tuple[int, int]]) -> Iterator[int]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:  # a running container deletes files
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path), seen)
                continue
            with suppress(FileNotFoundError):
                info = entry.stat(follow_symlinks=False)
                if info.st_nlink == 1 or (info.st_dev, info.st_ino) not in seen:
                    yield info.st_size
                seen.add((info.st_dev, info.st_ino))


def options(lowers: Sequence[str], upper: Path, work: Path, *, label: str = "", volatile: bool = False) -> str:
    """The option string of mount(2), topmost lower layer first."""
    words = [
        "lowerdir=" + ":".join(_escaped(lower) for lower in lowers),
        f"upperdir={_escaped(str(upper))}",
        f"workdir={_escaped(str(work))}",
        *FAITHFUL,
        *(["volatile"] if volatile else []),
        *([f'context="{label}"'] if label else []),
    ]
    return ",".join(words)


def _escaped(path: str) -> str:
    return "".join(f"\\{char}" if char in "\\:," else char for char in path)


def without_unknown(text: str, parameters: Path = PARAMETERS) -> str:
    """``text`` without the options that this kernel has never heard of.

    Each of :data:`FAITHFUL` has a module parameter where the kernel knows it; where it does not, the feature
    does not exist, which is as good as off. ``volatile`` (5.10) has none: without it all is only slower.
    """
    words = text.split(",")
    unknown = [word for word in FAITHFUL if not (parameters / word.partition("=")[0]).exists()]
    return ",".join(word for word in words if word not in (*unknown, "volatile"))


def _mount(
    merged: Path, lowers: Sequence[Path], upper: Path, work: Path, *, label: str, read_only: bool, volatile: bool
) -> None:
    flags = mounts.MS_RDONLY if read_only else 0
    place, names = Path("/"), [str(lower.absolute()) for lower in lowers]
    text = options(names, upper, work, label=label, volatile=volatile)
    if len(os.fsencode(text)) > MAX_OPTION_BYTES:
        place = Path(os.path.commonpath([str(lower.absolute().parent) for lower in lowers]))
        names = [os.path.relpath(name, place) for name in names]
        text = options(names, upper, work, label=label, volatile=volatile)
    if len(os.fsencode(text)) > MAX_OPTION_BYTES:
        raise Unsupported(f"the paths of {len(lowers)} layers do not fit into one mount on {merged}")

    def attempt(words: str) -> None:
        workdir.call_in(place, lambda: mounts.mount("overlay", merged, "overlay", flags, words))

    try:
        attempt(text)
    except SystemFailed as error:
        fewer = without_unknown(text)
        if error.details.get("errno") != errno.EINVAL or fewer == text or not PARAMETERS.exists():
            raise
        attempt(fewer)


def _make_upper(upper: Path, lower: Path) -> None:
    """The merged root shows the upper's owner and mode, so a new one takes them from the layer below."""
    if upper.exists():
        return
    fresh = upper.with_name(f".{upper.name}.new")
    try:
        remove_tree(fresh)
        fresh.mkdir(parents=True)
        copy_attributes(lower, fresh)
        fresh.rename(upper)
    except OSError as error:
        raise files.failed("create", upper, error) from error


def copy_attributes(source: Path, target: Path) -> None:
    """Give a directory the owner, mode, ACLs and user attributes of another; overlayfs' own stay where they are."""
    info = source.stat()
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source):
        if name.startswith(("system.posix_acl_", "user.")) and not name.startswith("user.overlay."):
            os.setxattr(target, name, os.getxattr(source, name))


def _explained(error: SystemFailed, lowers: Sequence[Path], upper: Path) -> PyodcrError:
    """What the kernel meant by its error number."""
    number = error.details.get("errno")
    missing = next((lower for lower in lowers if not lower.is_dir()), None)
    if missing is not None:
        return SystemFailed(f"cannot mount over {missing}: there is no such directory", path=str(missing))
    if number == errno.ENODEV:
        return Unsupported("this kernel has no overlayfs", hint="load it: modprobe overlay")
    if number == errno.ELOOP:
        return SystemFailed(f"cannot mount over {lowers[0]}: a layer comes twice, or lies inside {upper}", errno=number)
    filesystem = _filesystem(upper)
    if number == errno.EINVAL and filesystem in ("overlay", "nfs", "nfs4", "fuse", "9p", "vfat", "exfat", "virtiofs"):
        return Unsupported(
            f"overlayfs cannot write to {upper}: it is on {filesystem}",
            hint="choose --root on a real filesystem: ext4, xfs, btrfs, or tmpfs",
        )
    return error


def _filesystem(path: Path) -> str:
    """The type of the filesystem that ``path`` is on."""
    holders = [found for found in mounts.table() if path.is_relative_to(found.target)]
    return max(enumerate(holders), key=lambda item: (len(item[1].target.parts), item[0]))[1].fstype
