"""The envelope of a create call, `{"requests": [...]}`: checked and indexed in flat memory."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import NoReturn

from batchyard.batches.jsontext import (
    Cursor,
    Read,
    There,
    checked_utf8,
    refuse_malformed,
    refuse_other_encodings,
    refuse_unless_json,
    whole,
)
from batchyard.batches.request import Entry
from batchyard.batches.windows import Window, windows
from batchyard.errors import InvalidRequest

_SHOWN_MAX = 100
_BUCKETS = 64
_HEAD = 4


def check(read: Read, requests_max: int) -> int:
    """The number of requests in a whole body; raises as `checking` does."""
    steps = checking(read, whole, requests_max)
    try:
        while True:
            next(steps)
    except StopIteration as ended:
        return int(ended.value)


def checking(read: Read, there: There, requests_max: int) -> Generator[None, None, int]:
    """The check of a body that may still be arriving; returns the number of its requests.

    Goes as far as there is text, then yields, and goes on from there when it is resumed. Raises
    `InvalidRequest` for the first thing wrong. Faults are told in reading order, but for the two
    about the list as a whole: too many requests and a repeated `custom_id`. Uniqueness costs eight
    bytes a request: only hashes are kept, and the ids are compared in a second reading when two
    hashes are equal.
    """
    while not there(_HEAD):
        yield
    refuse_other_encodings(read(0, _HEAD))
    hashes = [array("q") for _ in range(_BUCKETS)]
    keep = [bucket.append for bucket in hashes]
    count = 0
    for window in _envelope(checked_utf8(read), there, names_only=True):
        if window is None:
            yield
            continue
        count += len(window.names)
        if count > requests_max:
            continue  # only the number is of interest now
        window.refuse_odd_params()
        window.refuse_endless_numbers()
        for number in map(hash, window.names):
            keep[number % _BUCKETS](number)
    if not count:
        _refuse("requests: List should have at least 1 item after validation, not 0")
    if count > requests_max:
        rule = f"List should have at most {requests_max} items after validation, not {count}"
        _refuse(f"requests: {rule}")
    if suspects := _repeated(hashes):
        _refuse_repeated_id(read, suspects)
    return count


def entries(read: Read) -> Iterator[Entry]:
    """The entries of a body that passed `check`, in order of arrival."""
    for window in _envelope(read, whole):
        if window is None:
            continue
        for item, (offset, length) in zip(window.items, window.places(), strict=True):
            yield Entry(item.custom_id, offset, length)


def _envelope(
    read: Read, there: There, *, names_only: bool = False
) -> Generator[Window | None, None, None]:
    """The windows of the one list in the body, and the refusal of everything around it; None
    whenever what comes next has not arrived."""
    cursor = Cursor(read, there)
    yield from cursor.arrival()
    if cursor.peek() != b"{":
        _refuse_top(read, cursor)
    cursor.take()
    yield from cursor.arrival()
    if cursor.peek() == b"}":
        _refuse("requests: Field required")
    _expect_name(cursor, "requests")
    yield from cursor.arrival()
    cursor.expect(b":")
    yield from cursor.arrival()
    if cursor.peek() != b"[":
        refuse_unless_json(read)
        _refuse("requests: Input should be a valid list")
    cursor.take()
    cursor.at = yield from windows(read, cursor.at, there=there, names_only=names_only)
    yield from cursor.arrival()
    if cursor.peek() == b",":
        cursor.take()
        yield from cursor.arrival()
        _expect_name(cursor, None)
    cursor.expect(b"}")
    yield from cursor.arrival()
    if cursor.peek():
        refuse_malformed("there is more after its end", cursor.at)


def _expect_name(cursor: Cursor, wanted: str | None) -> None:
    """Step over the field name `wanted`; any other is refused by its name."""
    name = cursor.string()
    if name == "requests" != wanted:
        _refuse("requests: Field given more than once")
    if name != wanted:
        _refuse(f"{name[:_SHOWN_MAX]}: Extra inputs are not permitted")


def _refuse_top(read: Read, cursor: Cursor) -> NoReturn:
    """The body is no object: nothing at all, not JSON, or another kind of value."""
    first = cursor.peek()
    if not first:
        refuse_malformed("it is empty", 0)
    refuse_unless_json(read)
    _refuse('The request body should be an object: {"requests": [...]}')


def _repeated(hashes: list[array[int]]) -> set[int]:
    """The hashes that occur more than once. Bucket by bucket, to need little memory at a time."""
    found: set[int] = set()
    for bucket in hashes:
        if len(set(bucket)) < len(bucket):
            found.update(one for one, other in pairwise(sorted(bucket)) if one == other)
    return found


def _refuse_repeated_id(read: Read, suspects: set[int]) -> None:
    """Refuse the first custom_id that truly occurs twice; equal hashes alone are no offence."""
    seen = set()
    for entry in entries(read):
        if hash(entry.custom_id) not in suspects:
            continue
        if entry.custom_id in seen:
            _refuse(
                "requests: custom_id's must be unique within a batch. "
                f"Duplicate custom_id found: {entry.custom_id}"
            )
        seen.add(entry.custom_id)


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(message)
