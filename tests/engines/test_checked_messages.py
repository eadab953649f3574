"""A 200 of a Messages engine: a Message on one line of valid text, or none."""

from __future__ import annotations

import pytest

from batchyard.wire import NotAMessage, checked_message

GOOD = b'{"type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":2},"x":%b}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b'{"type":"\xff',
        b'{"\xff":"message"',
        b'{"type":"message\xff"}',
        b"[" * 50_000,
        b'{"type":"error","error":{}}',
        b'{"type":"message","content":[]}',
        GOOD % (b"9" * 5_000) + b"\xff",
    ],
)
def test_what_is_no_message_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotAMessage):
        checked_message(body)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"1e400", b"1e400"),
        (b'"\\u0000"', b'"\\u0000"'),
        (b'"a\xffb"', '"a�b"'.encode()),
        (b'"\\ud800"', '"�"'.encode()),
        (b"[1,\n 2]", b"[1,  2]"),
    ],
)
def test_a_message_keeps_its_bytes_and_damaged_text_is_mended(value: bytes, kept: bytes) -> None:
    message, counted = checked_message(GOOD % value)
    assert message == GOOD % kept
    assert (counted.input_tokens, counted.output_tokens) == (1, 2)
