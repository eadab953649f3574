"""JSON text read by offset: its UTF-8 checked in passing, and a cursor for the few bytes around."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator
from typing import NoReturn

import msgspec

from batchyard.errors import InvalidRequest

Read = Callable[[int, int], bytes]
"""`read(offset, size)`: up to `size` bytes of the text; fewer only at its end."""

There = Callable[[int], bool]
"""`there(upto)`: whether the text has arrived up to byte `upto`, or is complete."""

Pause = Generator[None, None, None]
"""Yields whenever what comes next has not arrived; to be resumed when more has."""

_PIECE = 64 * 1024
_ENDLESS = 1 << 62
_SPACE = b" \t\r\n"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TRUNCATED = "Input data was truncated"
_PARSER_WORDS = re.compile(r"JSON is malformed: (.*) \(byte \d+\)")
_SURROGATES = ("surrogate", "end of hex escape")


def checked_utf8(read: Read) -> Read:
    """`read` that refuses bytes which are no UTF-8, the first time they pass.

    For readers that go forward only; reading again what was already read is free.
    """
    reached = 0
    pending = b""

    def checked(offset: int, size: int) -> bytes:
        nonlocal reached, pending
        data = read(offset, size)
        fresh = data[reached - offset :]
        if not fresh:
            return data
        if pending or not fresh.isascii():
            start = reached - len(pending)
            whole = pending + fresh
            try:
                _, used = codecs.utf_8_decode(whole, "strict", False)
            except UnicodeDecodeError as error:
                refuse_malformed("invalid UTF-8", start + error.start)
            pending = whole[used:]
        reached += len(fresh)
        return data

    return checked


def refuse_malformed(what: str, at: int) -> NoReturn:
    """The body is no JSON; `at` is the byte, counted from 0, where that shows."""
    raise InvalidRequest(f"The request body is not valid JSON: {what} (byte {at})")


def refuse_nesting() -> NoReturn:
    """The body nests arrays or objects deeper than any parser here would follow."""
    raise InvalidRequest("The request body is not valid JSON: it is nested too deeply")


def plain_words(error: msgspec.DecodeError) -> str:
    """What the parser found, said for somebody who has never heard of our parser."""
    words = str(error)
    if any(sign in words for sign in _SURROGATES):
        return "half of a surrogate pair (\\ud800 to \\udfff) stands alone in a string"
    if words == _TRUNCATED:
        return "the text ends too early"
    found = _PARSER_WORDS.fullmatch(words)
    return found[1] if found else words


def whole(_: int) -> bool:
    """`There` of a text of which nothing is still to come."""
    return True


class Cursor:
    """A place in the text, moved forward token by token; a piece at a time is in memory."""

    def __init__(self, read: Read, there: There = whole) -> None:
        self._read, self._there = read, there
        self.at = 0

    def arrival(self) -> Pause:
        """Until the next token and what belongs to it has arrived, which may be the text's end."""
        while True:
            complete = self._there(_ENDLESS)
            if self.peek() or complete:
                break
            yield
        while not self._there(self.at + _PIECE):
            yield

    def peek(self) -> bytes:
        """The next byte that is not white space, which is skipped; empty at the end."""
        while piece := self._read(self.at, _PIECE):
            rest = piece.lstrip(_SPACE)
            self.at += len(piece) - len(rest)
            if rest:
                return rest[:1]
        return b""

    def take(self) -> bytes:
        """As `peek`, and step over it."""
        found = self.peek()
        self.at += len(found)
        return found

    def expect(self, token: bytes) -> None:
        """Step over `token`; anything else in its place makes the body malformed."""
        found = self.take()
        if not found:
            refuse_malformed("the text ends too early", self.at)
        if found != token:
            refuse_malformed(f"expected {token.decode()!r}", self.at - 1)

    def string(self) -> str:
        """Step over a string and return it; one longer than a piece of text is refused."""
        if not self.peek():
            refuse_malformed("the text ends too early", self.at)
        found = _STRING.match(self._read(self.at, _PIECE))
        if not found:
            refuse_malformed("expected a quoted name", self.at)
        try:
            value = msgspec.json.decode(found[0], type=str)
        except msgspec.DecodeError as error:
            refuse_malformed(plain_words(error), self.at)
        self.at += found.end()
        return value


def refuse_unless_json(read: Read) -> None:
    """Refuse a text that is no JSON, as far as that can be told from its first piece."""
    text = read(0, _PIECE)
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        if len(text) < _PIECE or str(error) != _TRUNCATED:
            refuse_malformed(plain_words(error), fault_place(error, len(text)))
    except RecursionError:
        refuse_nesting()


def fault_place(error: msgspec.DecodeError, end: int) -> int:
    """The byte the parser names in its message, `end` when it ran out of text."""
    found = re.search(r"\(byte (\d+)\)\Z", str(error))
    return int(found[1]) if found else end


def refuse_other_encodings(head: bytes) -> None:
    """Refuse a text whose first bytes tell that it is no plain UTF-8."""
    if head.startswith(_WIDE_MARKS) or b"\0" in head[:2]:
        refuse_malformed("it is UTF-16 or UTF-32; JSON is sent as UTF-8", 0)
    if head.startswith(codecs.BOM_UTF8):
        refuse_malformed("it starts with a byte order mark", 0)
