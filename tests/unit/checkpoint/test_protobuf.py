from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.checkpoint import protobuf
from pyodcr.checkpoint.protobuf import WireError, number


@dataclass(frozen=True, slots=True)
class Inner:
    count: int = number(1)


@dataclass(frozen=True, slots=True)
class Message:
    count: int = number(1)
    name: str = number(2, default="")
    flag: bool = number(15, default=False)
    inner: Inner | None = field(default=None, metadata={"number": 16})


messages = st.builds(
    Message,
    count=st.integers(0, 2**64 - 1),
    name=st.text(),
    flag=st.booleans(),
    inner=st.none() | st.builds(Inner, count=st.integers(0, 2**64 - 1)),
)


@given(messages)
def test_what_is_encoded_is_decoded_again(message: Message) -> None:
    assert protobuf.decode(Message, protobuf.encode(message)) == message


def test_the_bytes_are_those_of_the_specification() -> None:
    # https://protobuf.dev/programming-guides/encoding/: 150 is 96 01, "testing" 07 74 65 73 74 69 6e 67
    encoded = protobuf.encode(Message(count=150, name="testing", inner=Inner(3)))
    assert encoded == bytes.fromhex("08 96 01  12 07 74 65 73 74 69 6e 67  78 00  82 01 02 08 03")


def test_zeros_are_written_and_an_absent_message_is_not() -> None:
    assert protobuf.encode(Message()) == bytes.fromhex("08 00  12 00  78 00")


def test_unknown_fields_of_every_wire_type_are_skipped() -> None:
    unknown = bytes.fromhex("18 05  21 0000000000000000  2a 02 ffff  35 00000000")
    assert protobuf.decode(Message, unknown + protobuf.encode(Message(count=7))) == Message(count=7)


@given(messages, st.data())
def test_a_message_cut_short_never_decodes_to_something_else_silently(message: Message, data: st.DataObject) -> None:
    encoded = protobuf.encode(message)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    try:
        decoded = protobuf.decode(Message, cut)
    except WireError:
        return
    assert cut == b"" or encoded.startswith(cut)  # it ends between two fields: the missing ones have their defaults
    assert decoded.count in (0, message.count)
    assert decoded.name in ("", message.name)


@pytest.mark.parametrize("data", ["08", "12 05 61", "0b", "08 ffffffffffffffffffffff01", "0a 01 00"])
def test_other_bytes_are_refused(data: str) -> None:
    with pytest.raises(WireError):
        protobuf.decode(Message, bytes.fromhex(data))
