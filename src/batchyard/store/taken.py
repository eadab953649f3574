"""A shard in a worker's hands: its requests to read, and the growing end of its results."""

from __future__ import annotations

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
_AHEAD_BYTES = 32 * 1024
_BEFORE_ID, _AFTER_ID, _LAST = b'{"custom_id":"', b'","params":{', b"}}\n"
_ID_AT = len(_BEFORE_ID)
_PARAMS_AFTER_ID = len(_AFTER_ID) - 1
_HEAD_BYTES = _ID_AT + CUSTOM_ID_MAX + len(_AFTER_ID)


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
    found, start, near = [], 0, _Near(requests)
    for end in near.line_ends():
        head = near.read(start, min(_HEAD_BYTES, end - start))
        quote = head.find(b'"', _ID_AT)
        params = start + quote + _PARAMS_AFTER_ID
        if not (
            head.startswith(_BEFORE_ID)
            and head[:quote].isascii()
            and head.startswith(_AFTER_ID, max(quote, 0))
            and params + len(_LAST) < end
            and near.read(end - len(_LAST), len(_LAST)) == _LAST
        ):
            raise Damaged(f"a request segment is damaged at byte {start}")
        found.append(Entry(head[_ID_AT:quote].decode("ascii"), params, end - 2 - params))
        start = end
    return found


class _Near:
    """A segment read window by window. What lies in the present one needs no read of its own: each
    would let another thread have its turn, and there are two for every line."""

    def __init__(self, segment: Reader) -> None:
        self._segment, self._window, self._offset = segment, b"", 0

    def line_ends(self) -> Iterator[int]:
        """Where each line ends, its newline included; a last line without one ends nowhere."""
        while window := self._segment.read(self._offset, _WINDOW):
            self._window, newline = window, -1
            while (newline := window.find(b"\n", newline + 1)) >= 0:
                yield self._offset + newline + 1
            self._offset += len(window)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`."""
        start = offset - self._offset
        if 0 <= start <= len(self._window) - length:
            return self._window[start : start + length]
        return self._segment.read(offset, length)


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
