"""The order in which a batch is asked: requests that begin alike stand side by side.

An engine keeps the work it did for a prompt's beginning, so a batch runs fastest when its requests
are visited in the order of a depth-first walk through their common beginnings; sorting them does
just that (SGLang, theorem 3.1). What counts as the beginning is what the engine reads first: the
model, then tools, system and messages, the order in which chat templates render them.

The key of a request is the JSON text of those three values as they were sent. The text is canonical
enough: within one batch it comes from one serialiser, so equal values are equal bytes, a common
beginning of values is a common beginning of text, and a byte of it stands for about as much prompt
everywhere. Parsing it into words and writing it anew would cost ten times the sort and gain only
where one batch says the same thing in two notations. The order of the fields *around* those values
does differ between clients, and does not matter here: the key puts them in its own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from cffi import FFI

from batchyard.batches.request import Entry

Read = Callable[[int, int], bytes]
"""`read(offset, size)`: up to `size` bytes of a create body."""

ReadKey = Callable[[int, int, int], bytes]
"""`read_key(request, depth, size)`: up to `size` bytes of its key; fewer only at the key's end."""

MEMORY = 8 * 1024 * 1024
"""Bytes of keys in memory at once, however large the batch."""

_BLOCK_MIN, _BLOCK_MAX = 32, 256 * 1024
_PROBE = 4096
_SORTED_AT_ONCE = 4096
_SEPARATOR = b"\0"  # below any byte of JSON: a value left out sorts before every other
_NOTHING = msgspec.Raw(b"")
_LINE_AROUND = len('{"custom_id":"","params":}\n')
_ffi = FFI()
_buffer, _cast, _address = _ffi.from_buffer, _ffi.cast, _ffi.typeof("uintptr_t")


class _Fields(msgspec.Struct, gc=False):
    model: Any = None
    tools: msgspec.Raw = _NOTHING
    system: msgspec.Raw = _NOTHING
    messages: msgspec.Raw = _NOTHING


_fields = msgspec.json.Decoder(_Fields).decode


class Outline:
    """Where the requests of a body lie and where in each the values of its key; no text is kept.

    Columns instead of objects: about sixty bytes a request and its custom_id. Requests are numbered
    in order of arrival.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._models: list[str] = []
        self._number_of: dict[str, int] = {}
        self._model = array("I")
        self._offset, self._length = array("Q"), array("Q")
        self._span = array("I")  # start in the params and length of tools, system, messages
        self._ids, self._id_end = bytearray(), array("Q", [0])

    def __len__(self) -> int:
        return len(self._model)

    def add(self, entry: Entry, params: bytes) -> None:
        """Take in the next request."""
        try:
            fields = _fields(params)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            fields = _Fields()  # a model that no parser can hold, like 1e400: judged when asked
        model = fields.model if isinstance(fields.model, str) else ""
        if model not in self._number_of:
            self._number_of[model] = len(self._models)
            self._models.append(model)
        self._model.append(self._number_of[model])
        self._offset.append(entry.offset)
        self._length.append(entry.length)
        self._ids += entry.custom_id.encode()
        self._id_end.append(len(self._ids))
        start = int(_cast(_address, _buffer(params)))
        for raw in (fields.tools, fields.system, fields.messages):
            if raw is _NOTHING:
                self._span.extend((0, 0))
                continue
            view = _buffer(raw)
            self._span.extend((int(_cast(_address, view)) - start, len(view)))

    def entry(self, number: int) -> Entry:
        """The request as it was added."""
        custom_id = self._ids[self._id_end[number] : self._id_end[number + 1]].decode()
        return Entry(custom_id, self._offset[number], self._length[number])

    def line_size(self, number: int) -> int:
        """Bytes of its line in a request segment."""
        custom_id = self._id_end[number + 1] - self._id_end[number]
        return custom_id + self._length[number] + _LINE_AROUND

    def by_model(self) -> list[tuple[str, list[int]]]:
        """The requests of each model as asked for, "" for none; models by name."""
        found: list[list[int]] = [[] for _ in self._models]
        for number, model in enumerate(self._model):
            found[model].append(number)
        return sorted(zip(self._models, found, strict=True))

    def read_key(self, number: int, depth: int, size: int) -> bytes:
        """Part of the key: tools, system and messages as sent, a NUL after the first two."""
        span, begin, found = self._span, self._offset[number], b""
        for part in range(6 * number, 6 * number + 6, 2):
            if part % 6 and depth:
                depth -= 1
            elif part % 6 and size:
                found += _SEPARATOR
                size -= 1
            length = span[part + 1] - depth
            if length <= 0:
                depth = -length
                continue
            if size:
                found += self._read(begin + span[part] + depth, min(size, length))
                size = max(0, size - length)
            depth = 0
        return found


def prefix_order(
    members: Iterable[int], read_key: ReadKey, *, memory: int = MEMORY
) -> tuple[array[int], array[int]]:
    """`members` sorted by key, equal keys as they came, and what each shares with its predecessor.

    The second array holds, for every place, the bytes that its key has in common with the key
    before it. Radix sort from the front, a block of every key at a time: only the requests whose
    blocks are equal are read on, so a key is read up to where it stops being shared, and the common
    lengths fall out on the way. About `memory` bytes of blocks are held at once.
    """
    order = array("I", members)
    shared = array("I", bytes(order.itemsize * len(order)))
    todo = [(0, len(order), 0)] if len(order) > 1 else []
    while todo:
        low, high, depth = todo.pop()
        size = min(max(memory // (high - low), _BLOCK_MIN), _BLOCK_MAX)
        if size < _PROBE:
            depth += _alike(order[low:high], read_key, depth, size)
        blocks = [read_key(number, depth, size) for number in order[low:high]]
        places = _sorted_places(blocks)
        order[low:high] = array("I", [order[low + place] for place in places])
        for first, last in _runs(places, blocks):
            block = blocks[places[first]]
            if first:
                shared[low + first] = depth + _common(blocks[places[first - 1]], block)
            if len(block) < size:  # these keys are over, and equal
                shared[low + first + 1 : low + last] = array(
                    "I", [depth + len(block)] * (last - first - 1)
                )
            elif last - first > 1:
                todo.append((low + first, low + last, depth + size))
    return order, shared


def _alike(members: array[int], read_key: ReadKey, depth: int, least: int) -> int:
    """The bytes all keys share from `depth` on, as far as one probe sees; 0 for less than `least`.

    One prompt for a whole batch is the common case. It is stepped over with one longer reading of
    every key, of which nothing is kept, instead of many short ones.
    """
    head = read_key(members[0], depth, _PROBE)
    for number in members:
        block = read_key(number, depth, len(head))
        if block != head:
            head = head[: _common(head, block)]
        if len(head) < least:
            return 0
    return len(head)


def _sorted_places(blocks: list[bytes]) -> list[int]:
    """The places of `blocks` in ascending order, equal ones as they stand.

    Many are first dealt out by a few of their own kind, because one sort of them all is one call
    that lets no other thread run.
    """
    pivots = sorted(blocks[:: _SORTED_AT_ONCE // 8]) if len(blocks) > _SORTED_AT_ONCE else []
    piles: list[list[int]] = [[] for _ in range(len(pivots) + 1)]
    for place, block in enumerate(blocks):
        piles[bisect_right(pivots, block)].append(place)
    return [place for pile in piles for place in sorted(pile, key=blocks.__getitem__)]


def _runs(places: list[int], blocks: list[bytes]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of every run of equal blocks in the sorted places."""
    first = 0
    for last in range(1, len(places) + 1):
        if last == len(places) or blocks[places[last]] != blocks[places[first]]:
            yield first, last
            first = last


def _common(one: bytes, other: bytes) -> int:
    """The number of bytes in which both begin alike."""
    size = min(len(one), len(other))
    differing = int.from_bytes(one[:size]) ^ int.from_bytes(other[:size])
    return size - (differing.bit_length() + 7) // 8
