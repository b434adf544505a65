from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint.archive import headers
from pyodcr.checkpoint.archive.headers import Member
from pyodcr.checkpoint.archive.names import Kind
from pyodcr.errors import ArchiveInvalid

FORMS: list[Literal[0, 1, 2]] = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
MEMBERS = st.builds(
    Member,
    name=st.text(
        st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=250
    ),
    size=st.integers(0, 1 << 60),
    mode=st.integers(0, 0o777),
    mtime_s=st.integers(0, 1 << 32),
)


@given(MEMBERS)
def test_what_is_built_is_read(member: Member) -> None:
    raw = headers.build(member)
    assert len(raw) % headers.BLOCK_BYTES == 0
    assert headers.read(io.BytesIO(raw).read, 0) == (member, raw)
    assert headers.is_ours(raw)


@given(MEMBERS)
def test_the_standard_library_reads_it(member: Member) -> None:
    with tarfile.open(fileobj=io.BytesIO(headers.build(member) + headers.END_OF_ARCHIVE)) as archive:
        info = archive.next()
        assert info is not None
        assert (info.name, info.size, info.mode, info.mtime) == (
            member.name,
            member.size,
            member.mode,
            member.mtime_s,
        )
        assert (info.isfile(), info.uid, info.gid) == (True, 0, 0)


@pytest.mark.parametrize(
    "member",
    [
        Member("checkpoint", Kind.DIRECTORY, mode=0o700),
        Member("checkpoint/parent", Kind.SYMLINK, target="../pre-checkpoint"),
    ],
)
def test_directories_and_symlinks(member: Member) -> None:
    raw = headers.build(member)
    assert headers.read(io.BytesIO(raw).read, 0) == (member, raw)
    with tarfile.open(fileobj=io.BytesIO(raw + headers.END_OF_ARCHIVE)) as archive:
        info = archive.getmember(member.name)
        assert (info.isdir(), info.issym(), info.linkname) == (
            member.kind is Kind.DIRECTORY,
            member.kind is Kind.SYMLINK,
            member.target,
        )


def test_pax_only_where_it_must_be() -> None:
    assert len(headers.build(Member("x" * 100, size=8**11 - 1))) == 512
    assert len(headers.build(Member("x" * 101))) == 3 * 512
    assert len(headers.build(Member("x", size=8**11))) == 512
    assert len(headers.build(Member("é"))) == 3 * 512


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=220).filter(
        lambda name: not name.endswith("/")
    ),
    st.integers(0, 1 << 50),
    st.sampled_from(FORMS),
)
def test_what_the_standard_library_writes_is_read(name: str, size: int, form: Literal[0, 1, 2]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        raw = info.tobuf(form)
    except ValueError:
        return  # too long or too large for this format
    if raw[156:157] == b"L":
        with pytest.raises(ArchiveInvalid, match="unknown type"):
            headers.read(io.BytesIO(raw).read, 0)
        return
    found = headers.read(io.BytesIO(raw).read, 0)
    assert found is not None
    assert (found[0].name, found[0].size) == (name, size)
    assert not headers.is_ours(raw)


def test_a_zero_block_is_the_end() -> None:
    assert headers.read(io.BytesIO(headers.END_OF_ARCHIVE).read, 512) is None


@given(st.binary(min_size=512, max_size=512), st.integers(0, 1))
def test_any_block_is_read_or_refused(block: bytes, offset: int) -> None:
    """Also with a checksum that holds, which random bytes never have."""
    summed = block[:148] + b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:])) + block[156:]
    for candidate in (block, summed, summed[:257] + b"ustar\x0000" + summed[265:]):
        source = io.BytesIO(candidate + bytes(1 << 18))
        with suppress(ArchiveInvalid):
            headers.read(source.read, offset)
