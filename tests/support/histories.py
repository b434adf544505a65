"""What may happen to a root filesystem: random operations on it, done by a process that is confined to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import stat
import struct
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

Operation: TypeAlias = tuple[Callable[..., object], ...]  # and its arguments
History: TypeAlias = Sequence[tuple[Any, ...]]

SECOND = 1_000_000_000
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
LONGEST_NAME = "n" * 255
NAMES = ("a", "b", "c", "a", "b", "c", ".wh.a", ".wh..wh..opq", "\udcff\udcfe=\n%3D", LONGEST_NAME)
DEVICES = (os.makedev(1, 3), os.makedev(240, 2**20 - 1), os.makedev(511, 0))

_libc = ctypes.CDLL(None, use_errno=True)
_EXCHANGE = 2
_PUNCH_HOLE = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE


def acl(user_bits: int) -> bytes:
    """``user::rwx user:1000:BITS group::r-x mask::rwx other::---`` as the kernel keeps it."""
    everyone = 0xFFFFFFFF
    entries = [(1, 7, everyone), (2, user_bits, 1000), (4, 5, everyone), (16, 7, everyone), (32, 0, everyone)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def write(path: str, flags: int, offset: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | flags, 0o640)  # it may be a fifo
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, data)
    finally:
        os.close(fd)


def append(path: str, data: bytes) -> None:
    write(path, os.O_APPEND, 0, data)


def punch(path: str, offset: int, length: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            _libc.fallocate(fd, _PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))
    finally:
        os.close(fd)


def unnamed(path: str, data: bytes) -> None:
    """A file that has its first name when it has its content."""
    fd = os.open(os.path.dirname(path) or ".", os.O_WRONLY | os.O_TMPFILE, 0o600)
    try:
        os.write(fd, data)
        os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
    finally:
        os.close(fd)


def remove_all(path: str) -> None:
    os.listdir(path)  # rmtree would open a fifo, and wait
    shutil.rmtree(path)


def remake(path: str, below: str) -> None:
    """Remove a directory and make it again, with one in it that it may have had before."""
    remove_all(path)
    os.makedirs(f"{path}/{below}")


def exchange(one: str, other: str) -> None:
    _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE)


def listen(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def mknod(path: str, kind: int, mode: int, device: int) -> None:
    os.mknod(path, kind | mode, device)


def utime(path: str, mtime_ns: int) -> None:
    os.utime(path, ns=(0, mtime_ns), follow_symlinks=False)


def lchown(path: str, uid: int, gid: int) -> None:
    os.lchown(path, uid, gid)


def chmod(path: str, mode: int) -> None:
    os.chmod(path, mode)


def setxattr(path: str, name: str, value: bytes) -> None:
    os.setxattr(path, name, value, follow_symlinks=False)


def removexattr(path: str, name: str) -> None:
    os.removexattr(path, name, follow_symlinks=False)


def deep(path: str, levels: int) -> None:
    """Directories in one another, further down than a path can say."""
    os.chdir(path)
    for _ in range(levels):
        with contextlib.suppress(FileExistsError):
            os.mkdir(LONGEST_NAME)
        os.chdir(LONGEST_NAME)
    write("a", 0, 0, b"deep")


def _operation(act: Callable[..., object], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(act), *arguments)


def operations(names: Sequence[str] = NAMES) -> st.SearchStrategy[tuple[Any, ...]]:
    """One of everything that can be done to a tree, with paths of up to three of ``names``."""
    paths = st.lists(st.sampled_from(names), min_size=1, max_size=3).map("/".join)
    data = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(100_000), os.urandom(70_000)]))
    flags = st.sampled_from([0, os.O_TRUNC, os.O_EXCL])
    offsets = st.sampled_from([0, 0, 3, 5_000, 300_000, 1 << 40])
    ids = st.sampled_from([0, 1, 1000, 2**21, 2**31, 2**32 - 2])
    modes = st.one_of(st.sampled_from([0, 0o4711, 0o2755, 0o1777, 0o6000]), st.integers(0, 0o7777))
    times = st.builds(
        lambda seconds, rest: seconds * SECOND + rest,
        st.sampled_from([0, -1, -(2**31), -(2**33), 1_600_000_000, 2**31, 2**33 + 1, 2**36]),
        st.sampled_from([0, 1, 500_000_000, SECOND - 1]),
    )
    targets = st.sampled_from(["a/b", "/etc/passwd", "../..", "c", "x/" * 2000, "\udcff\n"])
    attributes = st.one_of(
        st.tuples(st.sampled_from(["user.a", "user.=b%25\udcff", "trusted.x"]), st.binary(max_size=40)),
        st.tuples(st.sampled_from(["trusted.overlay.opaque", "user.overlay.opaque"]), st.just(b"y")),
        st.tuples(st.sampled_from(["trusted.overlay.whiteout", "user.overlay.whiteout"]), st.just(b"")),
        st.tuples(st.just("security.capability"), st.just(CAPABILITY)),
        st.tuples(st.just("system.posix_acl_access"), st.integers(0, 7).map(acl)),
        st.tuples(st.just("system.posix_acl_default"), st.integers(0, 7).map(acl)),
    )
    kinds = st.sampled_from([stat.S_IFCHR, stat.S_IFBLK])
    return st.one_of(
        _operation(write, paths, flags, offsets, data),
        _operation(append, paths, data),
        _operation(os.truncate, paths, st.sampled_from([0, 1, 4096, 100_000, 1 << 40])),
        _operation(punch, paths, st.sampled_from([0, 4096, 8192]), st.sampled_from([4096, 1 << 20])),
        _operation(unnamed, paths, data),
        _operation(os.unlink, paths),
        _operation(os.mkdir, paths, modes),
        _operation(os.rmdir, paths),
        _operation(remove_all, paths),
        _operation(remake, paths, st.sampled_from(names)),
        _operation(os.rename, paths, paths),
        _operation(exchange, paths, paths),
        _operation(os.link, paths, paths),
        _operation(os.symlink, targets, paths),
        _operation(os.mkfifo, paths, modes),
        _operation(mknod, paths, kinds, modes, st.sampled_from(DEVICES)),
        _operation(listen, paths),
        _operation(chmod, paths, modes),
        _operation(lchown, paths, ids, ids),
        _operation(lambda path, attribute: setxattr(path, *attribute), paths, attributes),
        _operation(removexattr, paths, st.sampled_from(["user.a", "system.posix_acl_default"])),
        _operation(utime, paths, times),
    )


def histories(names: Sequence[str] = NAMES, *, longest: int = 30) -> st.SearchStrategy[History]:
    return st.lists(operations(names), max_size=longest)


def perform(root: Path, history: History) -> None:
    """Do it all in ``root``, by a process that has no other; what the state of the tree forbids is not done."""
    read, wrote = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            try:
                _perform(root, history)
            except BaseException:
                os.write(wrote, traceback.format_exc().encode(errors="replace")[-4000:])
        os._exit(0)
    os.close(wrote)
    with open(read, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    assert not said, said.decode()


def _perform(root: Path, history: History) -> None:
    os.chroot(root)
    os.umask(0o022)
    for act, *arguments in history:
        os.chdir("/")
        with contextlib.suppress(OSError):
            act(*arguments)
