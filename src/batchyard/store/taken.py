"""A shard in a worker's hands: its requests to read, and the growing end of its results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from batchyard.batches.batch import Segment, Shard
from batchyard.batches.limits import CUSTOM_ID_MAX
from batchyard.batches.request import Entry
from batchyard.batches.result import OUTCOMES, Outcome, Tally
from batchyard.errors import Damaged
from batchyard.store.catalog.shards import Mark
from batchyard.store.segments import checksum
from batchyard.store.segments.contract import Appender, Reader

_WINDOW = 1024 * 1024
_AHEAD_BYTES = 128 * 1024
_HEAD = re.compile(rb'\{"custom_id":"([\w-]{1,%d})","params":(?=\{)' % CUSTOM_ID_MAX)
_HEAD_BYTES = len(b'{"custom_id":"","params":{') + CUSTOM_ID_MAX
_LAST = b"}}\n"


@dataclass(eq=False, slots=True, weakref_slot=True)
class Tail:
    """The growing end of a shard's results under one fence. The committer guards it."""

    batch_id: str
    number: int
    fence: int
    earlier: tuple[Segment, ...]  # of lower fences, final
    appender: Appender | None  # None when nothing was left to do
    waiting: set[str]  # custom ids without a result
    tally: Tally  # of what is durable
    size: int = 0  # bytes of this fence's segment that are durable
    checksum: int = 0  # of these bytes
    lines: list[bytes] = field(default_factory=list)  # handed in since the last round
    gained: list[Outcome] = field(default_factory=list)  # their outcomes
    held: list[bytes] = field(default_factory=list)  # being written, until a sync has succeeded
    held_gained: list[Outcome] = field(default_factory=list)
    lost: bool = False
    released: bool = False

    def take(self, custom_id: str, outcome: Outcome, line: bytes) -> bool:
        """Accept the one line of a request; False when it has one already or the shard is not ours.

        Raises ValueError for a line that is not exactly one line, or not of this very request:
        the last place where a mix-up can be stopped.
        """
        if not line.startswith(b'{"custom_id":"%b"' % custom_id.encode()):
            raise ValueError(f"not a result line of {custom_id}")
        if line.find(b"\n") != len(line) - 1:
            raise ValueError(f"the result of {custom_id} is not exactly one line")
        if self.lost or self.released or custom_id not in self.waiting:
            return False
        self.waiting.remove(custom_id)
        self.lines.append(line)
        self.gained.append(outcome)
        return True

    def hold(self) -> None:
        """What was handed in is now on its way to the disk."""
        self.held += self.lines
        self.held_gained += self.gained
        self.lines, self.gained = [], []

    def put(self) -> int:
        """Write and sync what is held; returns the bytes that are durable now. After DiskFull
        everything is still held, and the next try writes it to the same place."""
        assert self.appender is not None
        data = b"".join(self.held)
        self.appender.put(data, self.size)
        self.size += len(data)
        self.checksum = checksum.grown(self.checksum, data)
        self.tally += Tally(*(self.held_gained.count(outcome) for outcome in OUTCOMES))
        self.held, self.held_gained = [], []
        return len(data)

    def lose(self) -> int:
        """Another worker has the shard: take nothing more; returns the bytes let go."""
        self.lost = True
        dropped = sum(map(len, self.held)) + sum(map(len, self.lines))
        self.held, self.held_gained, self.lines, self.gained = [], [], [], []
        return dropped

    def mark(self) -> Mark:
        """What the shard's row should say."""
        own = () if self.appender is None else (Segment(self.fence, self.size, self.checksum),)
        return Mark(self.batch_id, self.number, self.fence, self.tally, (*self.earlier, *own))


class Taken:
    """A shard under one fence, until `close`.

    `shard` carries the fence and the tally of what older segments had settled; `todo` are the
    requests without a counted result, in execution order.
    """

    def __init__(
        self,
        shard: Shard,
        todo: Sequence[Entry],
        requests: Reader,
        tail: Tail,
        release: Callable[[Tail], None],
    ) -> None:
        self.shard, self.todo, self.tail = shard, todo, tail
        self._requests, self._release = requests, release
        self._ahead, self._ahead_at = b"", 0

    def params(self, entry: Entry) -> bytes:
        """One request's params: a JSON object on one line, as sent. Reads the disk, briefly.

        Requests are mostly asked for in the order in which they lie, so some are read ahead: a read
        for each would cost little, but it also lets another thread have its turn.
        """
        start = entry.offset - self._ahead_at
        found = self._ahead[start : start + entry.length] if start >= 0 else b""
        if len(found) != entry.length:
            self._ahead = self._requests.read(entry.offset, max(entry.length, _AHEAD_BYTES))
            self._ahead_at = entry.offset
            found = self._ahead[: entry.length]
        if len(found) != entry.length:
            raise Damaged(
                f"the requests of shard {self.shard.number} of {self.shard.batch_id} end early"
            )
        return found

    def close(self) -> None:
        """Let go: lines already handed in are still committed. May be called twice."""
        self._requests.close()
        self._ahead = b""
        self._release(self.tail)


# -- request segments -----------------------------------------------------------------------------


def request_line(custom_id: str, params: bytes) -> bytes:
    """One line of a request segment; `entries` depends on its exact form."""
    return b'{"custom_id":"%b","params":%b}\n' % (custom_id.encode(), params)


def entries(requests: Reader) -> list[Entry]:
    """The requests of a segment, in order, without reading a params object into memory."""
    found = []
    for text, start, end, offset, length in _line_places(requests):
        head = _HEAD.match(text, start, end)
        if head is None or head.end() + len(_LAST) >= end or not text.endswith(_LAST, start, end):
            raise Damaged(f"a request segment is damaged at byte {offset}")
        before = head.end() - start
        found.append(Entry(head[1].decode("ascii"), offset + before, length - before - 2))
    return found


def _line_places(segment: Reader) -> Iterator[tuple[bytes, int, int, int, int]]:
    """(text, start, end, offset, length) of each line, `text[start:end]` being the line at `offset`
    of the segment. A last line without its newline is none.

    The text is a window of the segment: a read for each line would let another thread have its turn
    each time. A line that the edge of a window cuts is read for itself, and only its two ends.
    """
    offset = line = 0
    while window := segment.read(offset, _WINDOW):
        start = 0
        while end := window.find(b"\n", start) + 1:
            length = offset + end - line
            if line >= offset:
                yield window, start, end, line, length
            else:
                text = segment.read(line, min(length, _HEAD_BYTES))
                if length > _HEAD_BYTES:
                    text += segment.read(line + length - len(_LAST), len(_LAST))
                yield text, 0, len(text), line, length
            start, line = end, offset + end
        offset += len(window)


def lines(segment: Reader) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of a segment, with their newlines; the last may be torn and lack it."""
    offset, start, pieces = 0, 0, []
    while window := segment.read(offset, _WINDOW):
        at = 0
        while (newline := window.find(b"\n", at)) >= 0:
            pieces.append(window[at : newline + 1])
            line = b"".join(pieces)
            yield start, line
            start, pieces, at = start + len(line), [], newline + 1
        pieces.append(window[at:])
        offset += len(window)
    if torn := b"".join(pieces):
        yield start, torn
