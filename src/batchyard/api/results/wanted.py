"""Which bytes of the results a call wants, by `Range` and its conditions (RFC 9110). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*\Z", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_DIGITS_MAX = 18
"""More digits than any size has: what they say is "beyond the end"."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `first` up to `end`. An empty one cannot be had: 416."""

    first: int
    end: int

    @property
    def empty(self) -> bool:
        return self.first >= self.end


def part(ranges: Sequence[str], if_range: str | None, size: int, tag: str) -> Part | None:
    """The part of `size` bytes that `Range` asks for; None for all of them.

    All of them is the answer to several ranges, to what is no range of bytes, and to an `If-Range`
    that names anything but `tag`, in quotes: a date or a weak tag proves nothing.
    """
    if len(ranges) != 1 or (if_range is not None and if_range.strip() != tag):
        return None
    found = _ONE_RANGE.match(ranges[0].strip())
    if found is None or found[1] == found[2] == "":
        return None
    first, last = (_number(digits) for digits in found.groups())
    if first is None:
        return Part(max(0, size - (last or 0)), size)
    if last is not None and last < first:
        return None
    return Part(first, size if last is None else min(size, last + 1))


def is_known(if_none_match: Sequence[str], tag: str) -> bool:
    """Whether the reader says that it has what `tag` names already."""
    words = ", ".join(if_none_match).strip()
    return words == "*" or tag in _TAG.findall(words)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _DIGITS_MAX else int(10**_DIGITS_MAX)
