"""From the bytes of an archive, whatever compressed them, to the bytes of the tar.

zstd and gzip are ours; bzip2 and xz are read because Podman reads them; a bare tar passes through. Memory is
bounded whatever the input says: a frame is held whole only if it declares at most 4 MiB of content, any other
is expanded a block at a time. Frames held whole are decompressed on threads.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pyodcr.checkpoint.archive import zstdformat
from pyodcr.checkpoint.archive.compression import FRAME_BYTES, SHARED_FRAME_BYTES, Compression
from pyodcr.checkpoint.archive.conveyor import Conveyor
from pyodcr.checkpoint.archive.frames import FrameLog
from pyodcr.checkpoint.archive.invalid import hostile, tampered, truncated
from pyodcr.checkpoint.archive.limits import MIB, Limits
from pyodcr.checkpoint.archive.streams import Intake
from pyodcr.linux import heap

CHUNK_BYTES = 1 << 20

# Decompressed while the caller does something with an earlier one. Each is held twice (with its compressed form), and
# the caller, who hashes and stores, is slower: more of them would wait for nothing.
AHEAD_FRAMES = 2

# A frame held whole, with what little zstd adds to content that does not compress.
MAX_FRAME_BYTES = FRAME_BYTES + (32 << 10)


class Decoder(Protocol):
    """``chunks`` may be run once; ``log`` is complete at its end, and empty for a bare tar."""

    name: str
    log: FrameLog

    def chunks(self) -> Generator[bytes, None, None]: ...


def choose(intake: Intake, limits: Limits) -> Decoder:
    """The decoder for what the first bytes announce."""
    magic = intake.peek(6)
    if not magic:
        raise truncated(0)
    if magic.startswith(zstdformat.MAGIC):
        return ZstdDecoder(intake, limits)
    if magic.startswith(b"\x1f\x8b\x08"):
        return MemberDecoder(Compression.GZIP, _Inflater, zlib.error, intake, limits)
    if magic.startswith(b"BZh"):
        import bz2

        return MemberDecoder("bzip2", bz2.BZ2Decompressor, OSError, intake, limits)
    if magic == b"\xfd7zXZ\0":
        import lzma

        def make() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * limits.window_bytes + 4 * MIB)  # xz -9: 65 MiB

        return MemberDecoder("xz", make, lzma.LZMAError, intake, limits)
    return BareDecoder(intake)


class BareDecoder:
    name: str = Compression.NONE

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.log = FrameLog()

    def chunks(self) -> Generator[bytes, None, None]:
        while piece := self._intake.some(CHUNK_BYTES):
            yield piece


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """A zstd frame from byte ``offset`` of the archive that shall hold ``content_bytes``."""

    raw: bytes
    offset: int
    content_bytes: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    content: bytes
    raw_bytes: int
    digest: bytes


class ZstdDecoder:
    """A row of zstd frames, skippable ones among them; all are logged."""

    name: str = Compression.ZSTD

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self._intake = intake
        self._limits = limits
        self.log = FrameLog(limits.frames)

    def chunks(self) -> Generator[bytes, None, None]:
        heap.keep_freed()
        with Conveyor[_Decoded]() as conveyor:
            while magic := self._intake.peek(4):
                if magic != zstdformat.MAGIC:
                    yield from self._logged(conveyor.results())
                    self._skip(magic)
                    continue
                offset = self._intake.offset
                header = zstdformat.read_header(self._intake.take)
                if header.window_bytes > self._limits.window_bytes:
                    raise hostile(f"a zstd window of {header.window_bytes // MIB} MiB")
                if header.content_bytes is None or header.content_bytes > FRAME_BYTES:
                    yield from self._logged(conveyor.results())
                    yield from self._expand(header, offset)
                    continue
                frame = WholeFrame(self._whole(header), offset, header.content_bytes)
                if header.content_bytes > SHARED_FRAME_BYTES:
                    conveyor.submit(_decode, frame)
                    yield from self._logged(conveyor.results(keep=AHEAD_FRAMES))
                else:  # it may be the next entry's header: the caller shall not wait for the bytes behind it
                    yield from self._logged(conveyor.results())
                    yield from self._logged([_decode(frame)])
            yield from self._logged(conveyor.results())

    def _whole(self, header: zstdformat.FrameHeader) -> bytes:
        pieces, size = [header.raw], len(header.raw)
        for piece in zstdformat.read_blocks(header, self._intake.take):
            size += len(piece)
            if size > MAX_FRAME_BYTES:
                raise hostile("a zstd frame much larger than its content")
            pieces.append(piece)
        return b"".join(pieces)

    def _expand(self, header: zstdformat.FrameHeader, offset: int) -> Iterator[bytes]:
        """A frame of unknown or great length, as Podman and the zstd program write it, a block at a time."""
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=self._limits.window_bytes).decompressobj()
        wire = hashlib.sha256()
        content_bytes = 0

        def expand(piece: bytes) -> bytes:
            nonlocal content_bytes
            wire.update(piece)
            try:
                content = decompressor.decompress(piece)
            except zstandard.ZstdError as error:
                raise _damaged_frame(offset, error) from error
            content_bytes += len(content)
            return content

        expand(header.raw)
        for piece in zstdformat.read_blocks(header, self._intake.take):
            yield expand(piece)
        if not decompressor.eof:
            raise tampered(f"the zstd frame at byte {offset} does not end where it should")
        self.log.add(self._intake.offset - offset, content_bytes, wire.digest())

    def _skip(self, magic: bytes) -> None:
        offset = self._intake.offset
        if len(magic) < 4:
            raise truncated(offset + len(magic))
        if not zstdformat.is_skippable(magic):
            raise tampered(f"no zstd frame at byte {offset}", offset=offset)
        head = self._intake.take(8)
        wire = hashlib.sha256(head)
        left = int.from_bytes(head[4:], "little")
        while left:
            piece = self._intake.some(min(left, CHUNK_BYTES))
            if not piece:
                raise truncated(self._intake.offset)
            wire.update(piece)
            left -= len(piece)
        self.log.add(self._intake.offset - offset, 0, wire.digest())

    def _logged(self, frames: Iterable[_Decoded]) -> Iterator[bytes]:
        for frame in frames:
            self.log.add(frame.raw_bytes, len(frame.content), frame.digest)
            yield frame.content


def _decode(frame: WholeFrame) -> _Decoded:
    return _Decoded(decode_frame(frame), len(frame.raw), hashlib.sha256(frame.raw).digest())


def decode_frame(frame: WholeFrame) -> bytes:
    import zstandard

    try:
        if zstandard.frame_content_size(frame.raw) != frame.content_bytes:
            raise tampered(f"the zstd frame at byte {frame.offset} has another size than its table tells")
        return zstandard.ZstdDecompressor().decompress(frame.raw)
    except zstandard.ZstdError as error:
        raise _damaged_frame(frame.offset, error) from error


def _damaged_frame(offset: int, error: Exception) -> Exception:
    return tampered(f"the zstd frame at byte {offset} does not decompress ({error})", offset=offset)


class _MemberDecompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflater:
    """zlib for one gzip member, in the shape of bz2's and lzma's decompressors."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class MemberDecoder:
    """A row of gzip members, or of bzip2 or xz streams, expanded a chunk at a time."""

    def __init__(
        self,
        name: str,
        make: Callable[[], _MemberDecompressor],
        failure: type[Exception],
        intake: Intake,
        limits: Limits,
    ) -> None:
        self.name = name
        self._make = make
        self._failure = failure
        self._intake = intake
        self.log = FrameLog(limits.frames)

    def chunks(self) -> Generator[bytes, None, None]:
        while self._intake.peek(1):
            yield from self._member()

    def _member(self) -> Iterator[bytes]:
        start = self._intake.offset
        decompressor = self._make()
        wire = hashlib.sha256()
        content_bytes = 0
        piece = b""  # the latest one; how much of it belongs to this member shows at the end
        while not decompressor.eof:
            fresh = b""
            if decompressor.needs_input:
                wire.update(piece)
                piece = fresh = self._intake.some(CHUNK_BYTES)
            content = self._decompress(decompressor, fresh, start)
            content_bytes += len(content)
            if content:
                yield content
            elif not piece and not decompressor.eof:
                raise truncated(self._intake.offset)
        spare = len(decompressor.unused_data)
        self._intake.give_back(spare)
        wire.update(piece[: len(piece) - spare])
        self.log.add(self._intake.offset - start, content_bytes, wire.digest())

    def _decompress(self, decompressor: _MemberDecompressor, data: bytes, start: int) -> bytes:
        try:
            return decompressor.decompress(data, CHUNK_BYTES)
        except self._failure as error:
            raise tampered(
                f"the {self.name} stream at byte {start} does not decompress ({error})", offset=start
            ) from error
