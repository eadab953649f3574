"""The list of a create body, read window by window: its entries, and where their params lie.

A window rarely ends between two entries, so the end of its last whole entry has to be found
without a parser. In JSON text the bytes `, { "custom_id" :` (or `"params"`) cannot lie inside a
string, where a quote is escaped: they start an object of some list, most likely of ours. The text
before that comma, closed with `]`, parses exactly when the guess was right; if not, the guess
before it is tried, and at last a larger window. What the parser finds wrong before the place of the
cut is the caller's own fault.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, NoReturn, TypeAlias

import msgspec
from cffi import FFI

from batchyard.batches.jsontext import (
    Read,
    There,
    fault_place,
    plain_words,
    refuse_malformed,
    refuse_nesting,
    whole,
)
from batchyard.batches.limits import CUSTOM_ID_MAX, CUSTOM_ID_PATTERN
from batchyard.errors import InvalidRequest

WINDOW = 256 * 1024
"""Bytes parsed in one call: some milliseconds, so that other threads get their turn."""

DIGITS_MAX = 10_000
"""Digits of a number. Nobody means more, and many parsers need the square of them in time."""

_GUESSES_MAX = 8
_PADDING = b" " * 16  # after the last byte, so that the parser can name a fault just before it
_TAIL = 4 * 1024
_SHOWN_MAX = 100
_BRACE = ord("{")
_START = re.compile(rb',[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|params)"[ \t\r\n]*:')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ENDLESS = re.compile(rb"[0-9]{%d}" % (DIGITS_MAX + 1))
_STRIDE = 4_096
_TWO_DIGITS = re.compile(rb"[0-9](?=[0-9])")
_PLACE = re.compile(r"(?s)(.*) - at `\$\[(\d+)\](.*)`")
_UNKNOWN = re.compile(r"(?s)Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_NAME_BYTES = (string.ascii_letters + string.digits + "_-").encode()
_PATTERN = CUSTOM_ID_PATTERN.replace("$", r"\Z")  # `$` would let a final line end pass

_CustomId = Annotated[str, msgspec.Meta(min_length=1, max_length=CUSTOM_ID_MAX, pattern=_PATTERN)]


class Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One entry as parsed; `params` is a view into the window."""

    custom_id: _CustomId
    params: msgspec.Raw


class _Object(msgspec.Struct, gc=False):
    """Any object: its fields are passed over."""


class _Named(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One entry of which only the name is wanted."""

    custom_id: Annotated[str, msgspec.Meta(min_length=1, max_length=CUSTOM_ID_MAX)]
    params: _Object


_Entries: TypeAlias = tuple[list[str], list[Item]]
"""The names of some entries, and the entries, none where only names were wanted and all is well."""

_decode: Callable[[memoryview], list[Item]] = msgspec.json.Decoder(list[Item]).decode
_decode_names: Callable[[memoryview], list[_Named]] = msgspec.json.Decoder(list[_Named]).decode
_name: Callable[[Item | _Named], str] = attrgetter("custom_id")
_ffi = FFI()
_buffer, _cast, _address = _ffi.from_buffer, _ffi.cast, _ffi.typeof("uintptr_t")


@dataclass(slots=True)
class _Reading:
    """Where the reading is: `text[0]` is our own `[`, `text[1]` lies at byte `at` of the body."""

    at: int
    names_only: bool
    seen: int = 0  # entries in the windows before this one


@dataclass(frozen=True, slots=True)
class Window:
    """Some consecutive entries; the first of them is number `first` of the list.

    `items` is empty when only names were wanted and nothing was odd about the entries.
    """

    names: list[str]
    items: list[Item]
    first: int
    _text: bytearray
    _at: int
    _end: int  # index in the text behind the last entry

    def refuse_odd_params(self) -> None:
        """Raises `InvalidRequest` for the first params that are no object."""
        for number, item in enumerate(self.items, self.first):
            if memoryview(item.params)[0] != _BRACE:
                _refuse_field(number, ".params", "Input should be an object")

    def refuse_endless_numbers(self) -> None:
        """Raises `InvalidRequest` for a number of more than `DIGITS_MAX` digits.

        So long a run of digits lies under at least two of the samples, and few other texts have
        one from a sample to the next; only those are read as a whole.
        """
        text, end = self._text, self._end
        if not any(text[at : at + _STRIDE].isdigit() for at in _digits(text[:end:_STRIDE])):
            return
        outside = _STRING.sub(lambda string: b'"' * len(string[0]), text[:end])
        if found := _ENDLESS.search(outside):
            rule = f"a number has more than {DIGITS_MAX} digits"
            refuse_malformed(rule, self._at + found.start() - 1)

    def places(self) -> Iterator[tuple[int, int]]:
        """(offset, length) in the body of the params of every entry.

        The parser returns views without telling where they point; the address of a view less that
        of its buffer does, hence the detour through cffi.
        """
        start = int(_cast(_address, _buffer(self._text)))
        for item in self.items:
            view = _buffer(item.params)
            yield self._at - 1 + int(_cast(_address, view)) - start, len(view)


def _digits(samples: bytearray) -> Iterator[int]:
    """Where in the text a sample is a digit and so is the next one."""
    for found in _TWO_DIGITS.finditer(samples):
        yield found.start() * _STRIDE


def windows(
    read: Read, start: int, *, there: There = whole, names_only: bool = False
) -> Generator[Window | None, None, int]:
    """The windows of the list whose first byte after `[` is at `start`; None to wait for more text.

    Returns the place of the first byte after the list that is not white space. Raises
    `InvalidRequest` for the first fault. A yielded window must be dropped before the next is asked.
    """
    reading = _Reading(start, names_only)
    text = bytearray(b"[")
    size = WINDOW
    while True:
        offset = reading.at + len(text) - 1
        while not there(offset + size):
            yield None
        ended = _fill(text, read, offset, size)
        parsed = _parse(text, reading, ended=ended)
        if parsed is None:
            size = len(text)
            continue
        (names, items), end, closed = parsed
        yield Window(names, items, reading.seen, text, reading.at, end)
        if closed:
            return reading.at + end - 1
        reading.at += end
        reading.seen += len(names)
        text = bytearray(b"[") + memoryview(text)[end + 1 :]
        size = WINDOW


def _fill(text: bytearray, read: Read, offset: int, size: int) -> bool:
    """Append up to `size` bytes of the body; whether its end was reached."""
    while size > 0:
        piece = read(offset, min(size, WINDOW))
        if not piece:
            return True
        text += piece
        offset += len(piece)
        size -= len(piece)
    return False


def _parse(text: bytearray, reading: _Reading, *, ended: bool) -> tuple[_Entries, int, bool] | None:
    """(entries, index in `text` behind them, whether the list closed); None to see more text."""
    if not ended:
        for comma in _guesses(text):
            text[comma] = ord("]")
            try:
                found = _attempt(text, comma + 1, reading)
            finally:
                text[comma] = ord(",")
            if found and found[1] != comma + 1:
                return *found, True
            if found and found[0][0]:
                return found[0], comma, False
    else:
        text += _PADDING
    found = _attempt(text, len(text), reading)
    last = len(text) - len(_PADDING) if ended else len(text)
    if found:
        return found[0], min(found[1], last), True
    if ended:
        refuse_malformed("the text ends too early", reading.at + last - 1)
    return None


def _guesses(text: bytearray) -> Generator[int, None, None]:
    """The last few places of a comma that may stand between two entries, nearest the end first.

    Looks at the tail before the whole: the last entry mostly starts close to the end.
    """
    left, upto, span = _GUESSES_MAX, len(text), _TAIL
    while upto > 1 and left:
        begin = max(1, len(text) - span)
        commas = []
        for match in _START.finditer(text, begin):
            if match.start() >= upto:
                break
            commas.append(match.start())
        del commas[:-left]
        yield from reversed(commas)
        left -= len(commas)
        upto, span = begin, span * 4


def _attempt(text: bytearray, end: int, reading: _Reading) -> tuple[_Entries, int] | None:
    """The entries of `text[:end]` and the index at which their list was over; None for cut text.

    The list is over before `end` when something follows its closing bracket.
    """
    view = memoryview(text)[:end]
    if reading.names_only and (names := _names(view)):
        return (names, []), end
    try:
        return _entries(view), end
    except msgspec.ValidationError as error:
        _refuse_entry(str(error), reading.seen)
    except msgspec.DecodeError as error:
        place = fault_place(error, end)
        if "trailing characters" in str(error):
            return _entries(view[: place - 1]), place - 1
        if place < end:  # a fault at the very end is the doing of the cut
            refuse_malformed(plain_words(error), reading.at + place - 1)
    except RecursionError:
        refuse_nesting()
    return None


def _names(view: memoryview) -> list[str]:
    """The names of entries in which all is well; none where the slower way shall say what is not.

    They are held against their pattern all at once, which is ten times as fast as one by one.
    """
    try:
        names = list(map(_name, _decode_names(view)))
    except (msgspec.DecodeError, RecursionError):
        return []
    joined = "".join(names)
    return names if joined.isascii() and not joined.encode().translate(None, _NAME_BYTES) else []


def _entries(view: memoryview) -> _Entries:
    items = _decode(view)
    return list(map(_name, items)), items


def _refuse_entry(words: str, seen: int) -> NoReturn:
    """The parser's complaint about one entry, in the words the API uses for it."""
    told = _PLACE.fullmatch(words)
    assert told, words
    what, number, path = told[1], seen + int(told[2]), told[3]
    if unknown := _UNKNOWN.fullmatch(what):
        _refuse_field(number, f".{unknown[1][:_SHOWN_MAX]}", "Extra inputs are not permitted")
    if missing := _MISSING.fullmatch(what):
        _refuse_field(number, f".{missing[1]}", "Field required")
    if what == f"Expected `str` of length <= {CUSTOM_ID_MAX}":
        _refuse_field(number, path, f"String should have at most {CUSTOM_ID_MAX} characters")
    if what == "Expected `str` of length >= 1":
        _refuse_field(number, path, "String should have at least 1 character")
    if what.startswith("Expected `str` matching regex"):
        _refuse_field(number, path, f"String should match pattern '{CUSTOM_ID_PATTERN}'")
    wanted = "a valid string" if path else "an object"
    _refuse_field(number, path, f"Input should be {wanted}")


def _refuse_field(number: int, path: str, rule: str) -> NoReturn:
    raise InvalidRequest(f"requests.{number}{path}: {rule}")
