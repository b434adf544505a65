"""CRIU itself: its version, what it can do on this kernel, and the small images we read and write.

Dumps and restores are not here: the OCI runtime drives those. What is here is split by what it needs:

- the version comes from the program, and images (``stats-*``, ``inventory.img``) pass through our own
  :mod:`.protobuf`, so a plain checkpoint works on a host without pycriu;
- questions to CRIU about the kernel go over its RPC with pycriu's messages. This is the only importer of pycriu,
  which is no PyPI package but the distribution's, for the distribution's Python: :func:`_pycriu` fetches that copy.

RPC: https://criu.org/RPC, images: https://criu.org/Images and CRIU's ``images/*.proto``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar

from pyodcr import process
from pyodcr.checkpoint import criulog, protobuf
from pyodcr.checkpoint.protobuf import number
from pyodcr.errors import ArchiveInvalid, CriuFailed, ToolNotFound, Unsupported
from pyodcr.linux import files, release
from pyodcr.linux.release import Release

INSTALL_HINT = "install the package criu, version 4.2 or later"
PYCRIU_HINT = "install python3-pycriu (Fedora: python3-criu), and protobuf for this Python"

RPC_TIMEOUT_S = 30
CHECK_LOG = "check.log"
LOG_LEVEL = 4  # debug: the lines before an error often tell more than the error

CriuVersion: TypeAlias = Release


def version() -> CriuVersion:
    """The version of the ``criu`` a runtime would start. Raises :class:`ToolNotFound`."""
    path = process.require("criu", hint=INSTALL_HINT)
    return _version(path, path.stat().st_mtime_ns)


@cache
def _version(path: Path, changed_ns: int) -> CriuVersion:
    """Asked once, as long as the program is the same: it takes 20 ms."""
    del changed_ns
    said = process.run([path, "--version"], timeout_s=RPC_TIMEOUT_S).stdout
    found = release.parse(said)
    if found is None:
        raise Unsupported(f"criu does not tell its version: {said.strip()!r}")
    return found


@dataclass(frozen=True, slots=True)
class Features:
    """What this CRIU can do on this kernel (RPC FEATURE_CHECK)."""

    mem_track: bool  # soft-dirty: pre-checkpoints
    lazy_pages: bool  # userfaultfd: memory after the restore
    pidfd_store: bool  # pid reuse between pre-checkpoints is noticed


def feature_check() -> Features:
    """Raises :class:`ToolNotFound` (code ``pycriu-missing`` for pycriu) and :class:`CriuFailed`."""
    rpc = _pycriu().rpc
    request = rpc.criu_req(type=rpc.FEATURE_CHECK)
    for name in Features.__dataclass_fields__:
        setattr(request.features, name, True)
    response = _ask(request)
    if not response.success:
        raise CriuFailed("criu cannot tell its features", code="criu-features")
    return Features(*(bool(getattr(response.features, name)) for name in Features.__dataclass_fields__))


def check() -> str | None:
    """What this kernel lacks that CRIU cannot do without, in a sentence; None when all is there (RPC CHECK).

    Raises as :func:`feature_check`.
    """
    rpc = _pycriu().rpc
    with TemporaryDirectory(prefix="pyodcr-criu-") as work:
        directory = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # images_dir_fd: CRIU opens the number below /proc/OUR PID/fd, so the descriptor need not be inherited
            options = rpc.criu_opts(images_dir_fd=directory, log_file=CHECK_LOG, log_level=LOG_LEVEL)
            response = _ask(rpc.criu_req(type=rpc.CHECK, opts=options))
        finally:
            os.close(directory)
        return None if response.success else criulog.diagnose(Path(work, CHECK_LOG)).cause


def _ask(request: Any) -> Any:
    """One request to a ``criu swrk`` of our own, and its answer.

    pycriu's own way of starting it forks inside our process, and where the exec fails the child comes back into our
    code; so we start it and hand pycriu the socket.
    """
    pycriu = _pycriu()
    process.require("criu", hint=INSTALL_HINT)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", RPC_TIMEOUT_S, 0))
        argv = ["criu", "swrk", str(theirs.fileno())]
        with process.spawn(argv, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL):
            theirs.close()
            service = pycriu.criu()
            service.use_fd(ours.fileno())
            try:
                return service._send_req_and_recv_resp(request)
            except pycriu.CRIUException as error:
                raise CriuFailed(f"criu does not answer: {error}", code="criu-rpc") from error


def pycriu_version() -> str:
    """Raises :class:`ToolNotFound` (code ``pycriu-missing``)."""
    return str(getattr(_pycriu(), "__version__", "before 4.0"))


@cache
def _pycriu() -> Any:
    """pycriu from $PYODCR_PYCRIU alone where that is set, else from our own path or the distribution's directories.

    Only the package itself is taken from there; the directory does not come onto our path, where it
    would bring the distribution's copies of our own dependencies with it.
    """
    wanted = os.environ.get("PYODCR_PYCRIU")
    places = [Path(wanted)] if wanted else [None, *_distribution_directories()]
    path = list(sys.path)
    problem: Exception | None = None
    for place in places:
        try:
            return importlib.import_module("pycriu") if place is None else _load_from(place)
        except Exception as error:  # a protobuf too old or too new for it fails in ways of its own
            problem = error if problem is None or isinstance(problem, ModuleNotFoundError) else problem
        finally:
            sys.path[:] = path  # pycriu.images appends its own directory
    raise ToolNotFound(f"pycriu cannot be loaded: {problem}", code="pycriu-missing", hint=PYCRIU_HINT) from problem


def _distribution_directories() -> list[Path]:
    return [Path("/usr/lib/python3/dist-packages"), *sorted(Path("/usr/lib").glob("python3.*/site-packages"))]


def _load_from(directory: Path) -> Any:
    package = directory / "pycriu"
    spec = importlib.util.spec_from_file_location(
        "pycriu", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None or not package.is_dir():
        raise ModuleNotFoundError(f"there is no pycriu in {directory}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pycriu"] = module  # its own modules import each other by that name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == "pycriu"]:
            del sys.modules[name]
        raise
    return module


@dataclass(frozen=True, slots=True)
class DumpStats:
    """CRIU's ``dump_stats_entry``: times in microseconds, the rest counts (pages of 4 KiB on most machines)."""

    freezing_time_us: int = number(1)
    frozen_time_us: int = number(2)
    memdump_time_us: int = number(3)
    memwrite_time_us: int = number(4)
    pages_scanned: int = number(5)
    pages_skipped_parent: int = number(6)
    pages_written: int = number(7)
    irmap_resolve_us: int = number(8)
    pages_lazy: int = number(9)
    page_pipes: int = number(10)
    page_pipe_bufs: int = number(11)
    shpages_scanned: int = number(12)
    shpages_skipped_parent: int = number(13)
    shpages_written: int = number(14)


@dataclass(frozen=True, slots=True)
class RestoreStats:
    """CRIU's ``restore_stats_entry``."""

    pages_compared: int = number(1)
    pages_skipped_cow: int = number(2)
    forking_time_us: int = number(3)
    restore_time_us: int = number(4)
    pages_restored: int = number(5)


@dataclass(frozen=True, slots=True)
class _StatsEntry:
    dump: DumpStats | None = field(default=None, metadata={"number": 1})
    restore: RestoreStats | None = field(default=None, metadata={"number": 2})


class Lsm(StrEnum):
    NONE = "none"
    SELINUX = "selinux"
    APPARMOR = "apparmor"


class NetworkLock(StrEnum):
    """By the names CRIU's options have, in the order of its ``enum NETWORK_LOCK_METHOD`` (the RPC's begins at 1)."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Inventory:
    """What CRIU notes about a whole dump (``inventory_entry``), the fields that a restore must know beforehand."""

    image_version: int = number(1)
    lsm_type: int = number(6)
    tcp_close: bool = number(10, default=False)
    network_lock_method: int = number(11)
    criu_run_id: str = number(13, default="")  # part of the name of the nftables table that locks the network

    @property
    def lsm(self) -> Lsm:
        return list(Lsm)[self.lsm_type]

    @property
    def network_lock(self) -> NetworkLock:
        """How the dump locked the network, and how the restore will unlock it. Before 3.16 there was only one way."""
        return list(NetworkLock)[self.network_lock_method]


# criu/include/magic.h: most images begin with one of the first two and then their own; the inventory with its own.
IMG_COMMON_MAGIC = 0x54564319
IMG_SERVICE_MAGIC = 0x55105940
STATS_MAGIC = 0x57093306
INVENTORY_MAGIC = 0x58313116

MAX_IMAGE_BYTES = 1 << 20  # what we read is a few hundred bytes long; an archive may say anything
MAX_TIME_US = (1 << 32) - 1  # uint32 in the image

T = TypeVar("T")


def read_stats_dump(path: Path) -> DumpStats:
    """Read ``stats-dump``. Raises :class:`ArchiveInvalid`, and :class:`SystemFailed` where it cannot be read."""
    entry = _read_image(_StatsEntry, path, STATS_MAGIC)
    if entry.dump is None:
        raise ArchiveInvalid(f"{path} holds no statistics of a dump")
    return entry.dump


def read_stats_restore(path: Path) -> RestoreStats:
    """Read ``stats-restore``; raises as :func:`read_stats_dump`."""
    entry = _read_image(_StatsEntry, path, STATS_MAGIC)
    if entry.restore is None:
        raise ArchiveInvalid(f"{path} holds no statistics of a restore")
    return entry.restore


def stats_dump(stats: DumpStats) -> bytes:
    """The image ``stats-dump``, for an archive that is complete before CRIU writes its own, after our hook."""
    times = ("freezing_time_us", "frozen_time_us", "memdump_time_us", "memwrite_time_us", "irmap_resolve_us")
    fitting = replace(stats, **{name: min(getattr(stats, name), MAX_TIME_US) for name in times})
    content = protobuf.encode(_StatsEntry(dump=fitting))
    return struct.pack("<III", IMG_SERVICE_MAGIC, STATS_MAGIC, len(content)) + content


def inventory(path: Path) -> Inventory:
    """Read ``inventory.img``; raises as :func:`read_stats_dump`."""
    found = _read_image(Inventory, path, INVENTORY_MAGIC)
    if found.lsm_type >= len(Lsm) or found.network_lock_method >= len(NetworkLock):
        raise ArchiveInvalid(f"{path} is of a CRIU that is newer than this pyodcr knows")
    return found


def _read_image(cls: type[T], path: Path, magic: int) -> T:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_IMAGE_BYTES)
    except OSError as error:
        raise files.failed("read", path, error) from error
    try:
        (found,), at = struct.unpack_from("<I", data), 4
        if found in (IMG_COMMON_MAGIC, IMG_SERVICE_MAGIC):
            (found,), at = struct.unpack_from("<I", data, at), 8
        if found != magic:
            raise ArchiveInvalid(f"{path} is not the CRIU image its name says")
        (size,) = struct.unpack_from("<I", data, at)
        content = data[at + 4 : at + 4 + size]
        if len(content) < size:
            raise ArchiveInvalid(f"{path} is cut short")
        return protobuf.decode(cls, content)
    except (struct.error, protobuf.WireError) as error:
        raise ArchiveInvalid(f"{path} is damaged: {error}") from error
