"""The tar format, reading side: a hostile stream in, entries and their data out.

Reads what is met in images and archives: ustar, PAX, GNU long names and big numbers, the old Unix format, and
files with holes in every notation (GNU's own, PAX 0.0, 0.1, 1.0). Global PAX headers are passed over, as Go does.
Memory is bounded whatever a header claims. Anything odd is :class:`TarInvalid`, and so is a stream
without the two zero blocks at its end: it was cut, if only between two entries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

from pyodcr.lifecycle.storage.tar import (
    BLOCK,
    MAX_EXTENDED_BYTES,
    NANOSECOND,
    XATTR_PREFIX,
    Entry,
    Kind,
    Segment,
    TarInvalid,
    checksum,
    padding,
)

_CHUNK_BYTES = 1 << 20
_MAX_ID = 2**32 - 2  # chown(2) takes the number after it for "leave as it is"
_MAX_SIZE = 2**63 - 1

# Type flags that are no files themselves, but tell of the next one.
_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK = b"x", b"g", b"L", b"K"
_OLD_FILE, _CONTIGUOUS_FILE, _GNU_SPARSE = b"\0", b"7", b"S"


class Source(Protocol):
    """A buffered stream of bytes: fewer than asked for come only at its end."""

    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Iterate for the entries; between one and the next, :meth:`chunks` are the current one's data, if wanted."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unread = 0  # bytes of the current entry's data
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry
            self._read_past(self._unread + self._padding)

    def chunks(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes of the current entry's data, in pieces of at most 1 MiB."""
        while size > 0:
            chunk = self._exactly(min(size, _CHUNK_BYTES))
            self._unread -= len(chunk)
            size -= len(chunk)
            yield chunk

    def _read_past(self, size: int) -> None:
        while size > 0:
            size -= len(self._exactly(min(size, _CHUNK_BYTES)))

    def _exactly(self, size: int) -> bytes:
        data = self._source.read(size) if size else b""
        if len(data) != size:
            raise TarInvalid("it is cut short")
        return data

    def _next(self) -> Entry | None:
        records = _Records()
        budget = MAX_EXTENDED_BYTES
        while any(block := self._exactly(BLOCK)):
            _check(block)
            flag = block[156:157]
            if flag not in (_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK):
                return self._entry(block, records)
            extended = self._extended(block, budget)
            if flag == _PAX:
                records.parse(extended)
            elif flag == _GNU_LONG_NAME:
                records.values[b"path"] = _text(extended)
            elif flag == _GNU_LONG_LINK:
                records.values[b"linkpath"] = _text(extended)
            budget -= len(extended)
        if records.values or any(self._exactly(BLOCK)):
            raise TarInvalid("it ends in the middle of an entry")
        return None

    def _extended(self, block: bytes, budget: int) -> bytes:
        """The content of an entry that tells of the next one."""
        size = _number(block[124:136], "size", _MAX_SIZE)
        if size > budget:
            raise TarInvalid(f"the headers of an entry are over {MAX_EXTENDED_BYTES} bytes")
        return self._exactly(size + padding(size))[:size]

    def _entry(self, block: bytes, records: _Records) -> Entry:
        values = records.values
        raw_name = values.get(b"GNU.sparse.name") or values.get(b"path") or _ustar_name(block)
        kind = _kind(block, raw_name)
        name = clean_name(raw_name)
        if name == "." and kind is not Kind.DIRECTORY:
            raise TarInvalid("the root is no directory in it")
        stored = 0
        size, segments = 0, None
        if kind is Kind.FILE:
            stored = records.number(b"size", block[124:136], _MAX_SIZE)
            self._unread, self._padding = stored, padding(stored)
            size, segments = self._sparse(block, records) or (stored, None)
        else:
            self._unread = self._padding = 0
        return Entry(
            name=name,
            kind=kind,
            mode=_number(block[100:108], "mode", _MAX_SIZE) & 0o7777,
            uid=records.number(b"uid", block[108:116], _MAX_ID),
            gid=records.number(b"gid", block[116:124], _MAX_ID),
            mtime_ns=records.time(block[136:148]),
            size=size,
            segments=segments,
            target=_target(kind, values.get(b"linkpath") or _text(block[157:257])),
            device=_device(block) if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) else 0,
            xattrs=records.xattrs,
        )

    def _sparse(self, block: bytes, records: _Records) -> tuple[int, tuple[Segment, ...]] | None:
        """The size and the data of a file with holes; None for a plain one."""
        values = records.values
        if block[156:157] == _GNU_SPARSE:
            size = _number(block[483:495], "size", _MAX_SIZE)
            numbers = self._gnu_sparse_numbers(block)
        elif values.get(b"GNU.sparse.major") == b"1":
            size = _decimal(values.get(b"GNU.sparse.realsize", b""), "size", _MAX_SIZE)
            numbers = self._leading_sparse_map()
        elif records.sparse_numbers:
            size = _decimal(
                values.get(b"GNU.sparse.size") or values.get(b"GNU.sparse.realsize", b""), "size", _MAX_SIZE
            )
            numbers = [_decimal(number, "sparse map", _MAX_SIZE) for number in records.sparse_numbers]
        else:
            return None
        if len(numbers) % 2:
            raise TarInvalid("a sparse map is not of pairs")
        segments = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        position = 0
        for offset, length in segments:
            if offset < position:
                raise TarInvalid("a sparse map overlaps itself")
            position = offset + length
        if position > size or sum(length for _, length in segments) != self._unread:
            raise TarInvalid("a sparse map does not fit its file")
        return size, segments

    def _leading_sparse_map(self) -> list[int]:
        """PAX 1.0: decimal numbers, a line each, before the data: how many segments, then their offsets and lengths."""
        lines: list[bytes] = []
        rest, wanted, budget = b"", 1, MAX_EXTENDED_BYTES
        while len(lines) < wanted:
            if budget <= 0 or self._unread < BLOCK or len(rest) > BLOCK:
                raise TarInvalid("a sparse map has no end")
            *whole, rest = (rest + b"".join(self.chunks(BLOCK))).split(b"\n")
            lines += whole
            budget -= BLOCK
            if lines:
                wanted = 1 + 2 * _decimal(lines[0], "sparse map", MAX_EXTENDED_BYTES)
        return [_decimal(line, "sparse map", _MAX_SIZE) for line in lines[1:wanted]]

    def _gnu_sparse_numbers(self, block: bytes) -> list[int]:
        """GNU's own format: four pairs in the header, then 21 in each block that follows it; an empty pair ends."""
        table, more, numbers = block[386:482], block[482], list[int]()
        while True:
            for start in range(0, len(table), 12):
                if table[start]:
                    numbers.append(_number(table[start : start + 12], "sparse map", _MAX_SIZE))
            if not more:
                return numbers
            if len(numbers) * 12 > MAX_EXTENDED_BYTES:
                raise TarInvalid("a sparse map is too large")
            block = self._exactly(BLOCK)
            table, more = block[:504], block[504]


class _Records:
    """The PAX records that go before an entry."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.xattrs: dict[str, bytes] = {}
        self.sparse_numbers: list[bytes] = []

    def parse(self, content: bytes) -> None:
        prefix = XATTR_PREFIX.encode()
        position = 0
        while position < len(content):
            space = content.find(b" ", position, position + 20)
            end = position + _decimal(content[position : max(space, position)], "record", MAX_EXTENDED_BYTES)
            key, equals, value = content[space + 1 : end - 1].partition(b"=")
            if end <= space + 1 or end > len(content) or content[end - 1] != 0x0A or not equals or not key:
                raise TarInvalid("a PAX record is malformed")
            position = end
            if key.startswith(prefix):
                name = key.removeprefix(prefix).replace(b"%3D", b"=").replace(b"%25", b"%")
                self.xattrs[os.fsdecode(name)] = value
            elif key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):  # PAX 0.0: once for each segment
                self.sparse_numbers.append(value)
            elif key == b"GNU.sparse.map":  # PAX 0.1
                self.sparse_numbers = value.split(b",") if value else []
            else:
                self.values[key] = value

    def number(self, key: bytes, fallback: bytes, limit: int) -> int:
        value = self.values.get(key)
        what = key.decode()
        return _number(fallback, what, limit) if value is None else _decimal(value, what, limit)

    def time(self, fallback: bytes) -> int:
        """The mtime in nanoseconds; one beyond what utimensat(2) takes is cut to that, as filesystems cut to theirs."""
        value = self.values.get(b"mtime")
        if value is None:
            seconds, nanoseconds = _signed(fallback), 0
        else:
            whole, _, fraction = value.removeprefix(b"-").partition(b".")
            seconds = _decimal(whole or b"0", "mtime", _MAX_SIZE)
            nanoseconds = _decimal(fraction[:9].ljust(9, b"0"), "mtime", NANOSECOND)
        result = seconds * NANOSECOND + nanoseconds
        if value is not None and value.startswith(b"-"):
            result = -result
        return max(-_MAX_SIZE * NANOSECOND, min(result, _MAX_SIZE * NANOSECOND))


def clean_name(raw: bytes) -> str:
    """A name as :class:`Entry` has it. An absolute one loses its slash; one with ``..`` is refused."""
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in raw:
        raise TarInvalid(f"it names {os.fsdecode(raw)!r}, which leads out of it")
    return os.fsdecode(b"/".join(parts)) or "."


def _check(block: bytes) -> None:
    """The checksum; some old programs added signed bytes."""
    stated = _number(block[148:156], "checksum", _MAX_SIZE)
    blank = b"%b        %b" % (block[:148], block[156:])
    if stated == checksum(blank):
        return
    unsigned = sum(blank)
    if stated == unsigned:
        return
    above = sum(1 for byte in block[:148] + block[156:] if byte > 0x7F)
    if stated != unsigned - 256 * above:
        raise TarInvalid("a header's checksum is wrong")


def _kind(block: bytes, raw_name: bytes) -> Kind:
    flag = block[156:157]
    if flag == _OLD_FILE:
        return Kind.DIRECTORY if raw_name.endswith(b"/") else Kind.FILE
    if flag in (_CONTIGUOUS_FILE, _GNU_SPARSE):
        return Kind.FILE
    try:
        return Kind(flag.decode("latin-1"))
    except ValueError:
        raise TarInvalid(f"it has an entry of the unknown type {flag!r}") from None


def _target(kind: Kind, raw: bytes) -> str:
    if kind is Kind.HARD_LINK:
        return clean_name(raw)
    if kind is not Kind.SYMLINK:
        return ""
    if not raw or b"\0" in raw:
        raise TarInvalid("it has a symbolic link to nowhere")
    return os.fsdecode(raw)


def _ustar_name(block: bytes) -> bytes:
    name, prefix = _text(block[:100]), _text(block[345:500])
    # In GNU's format, which has another magic word, other things stand where the prefix is.
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _device(block: bytes) -> int:
    return os.makedev(
        _number(block[329:337], "device", 2**12 - 1),  # Linux has 12 bits for the major number and 20 for the minor
        _number(block[337:345], "device", 2**20 - 1),
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes, what: str, limit: int) -> int:
    value = _signed(field)
    if not 0 <= value <= limit:
        raise TarInvalid(f"it has the {what} {value}")
    return value


@lru_cache(maxsize=256)  # most files of an archive are alike
def _signed(field: bytes) -> int:
    """Octal digits; or, where the first bit is set, the rest as a binary number (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field) & ((1 << (8 * len(field) - 1)) - 1)
        sign = 1 << (8 * len(field) - 2)
        return (value ^ sign) - sign
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise TarInvalid("a header has letters for a number")
    try:
        return int(digits, 8)
    except ValueError:
        raise TarInvalid("a header has a number that is not octal") from None


def _decimal(digits: bytes, what: str, limit: int) -> int:
    if not digits.isdigit() or len(digits) > 20 or (value := int(digits)) > limit:
        raise TarInvalid(f"it has the {what} {digits[:20].decode(errors='replace')!r}")
    return value
