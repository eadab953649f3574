"""Taking a shard: raise its fence, read what older segments hold, and say up to where they count.

The log is the truth and the row a summary of it, so whatever bytes are found must mean something: a
segment counts up to its first line that is torn, noise, of no request of the shard, or of a request
that has a result already. In the part that was recorded as durable no such line can be, unless the
disk has lost or changed bytes: then that is logged as an error, the good lines behind the damage
are copied into the new segment, and only the damaged ones are asked again. Where every line looks
right and yet their checksum is wrong, nobody can tell which one lies: all of them are asked again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from batchyard import wire
from batchyard.batches.batch import Segment, Shard
from batchyard.batches.request import Entry
from batchyard.batches.result import OUTCOMES, Outcome, Tally
from batchyard.clock import Microseconds
from batchyard.errors import Damaged, Fenced
from batchyard.store.catalog import shards
from batchyard.store.catalog.database import Catalog
from batchyard.store.segments import checksum
from batchyard.store.segments.contract import Reader, Segments, requests_name, results_name
from batchyard.store.taken import Tail, Taken, entries, lines
from batchyard.telemetry import logger

_PREFIX = b'{"custom_id":"'

_log = logger(__name__)


@dataclass(slots=True)
class Found:
    """What a segment holds: `size` bytes of good lines, and good lines beyond a damage."""

    size: int = 0
    checksum: int = 0
    salvaged: list[bytes] = field(default_factory=list)


def read_results(
    segment: Reader, known: set[str], settled: dict[str, Outcome], durable: int, *, final: bool
) -> Found:
    """Read a result segment, adding to `settled` the outcome of every line that counts.

    `durable` bytes were recorded; a `final` segment counts no further, another up to its last good
    line. Works on arbitrary bytes: the first line of a request wins, lines of no request in
    `known` are noise.
    """
    found, whole = Found(), True
    for offset, line in lines(segment):
        if offset >= durable and (final or not whole):
            break
        head = None if final and offset + len(line) > durable else _head(line)
        if head is None or head.custom_id not in known or head.custom_id in settled:
            whole = False
            continue
        settled[head.custom_id] = head.result.type
        if whole:
            found.size = offset + len(line)
        else:
            found.salvaged.append(line)
    return found


def _head(line: bytes) -> wire.ResultHead | None:
    """The head of a line that could have been written by us, else None."""
    if not line.startswith(_PREFIX) or not line.endswith(b"}}\n"):
        return None
    try:
        line.decode()  # the parser does not look at the UTF-8 of what it skips
    except UnicodeDecodeError:
        return None
    return wire.result_head(line)


# -- taking ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _History:
    """What a shard's older segments say together."""

    segments: list[Segment] = field(default_factory=list)
    settled: dict[str, Outcome] = field(default_factory=dict)
    salvaged: list[bytes] = field(default_factory=list)

    def tally(self) -> Tally:
        outcomes = list(self.settled.values())
        return Tally(*(outcomes.count(outcome) for outcome in OUTCOMES))


def take(
    catalog: Catalog,
    segments: Segments,
    shard: tuple[str, int],
    now: Callable[[], Microseconds],
    release: Callable[[Tail], None],
) -> tuple[Taken, shards.Marked]:
    """Hand out a shard, (batch id, number), under a new fence; durable when it returns.

    The fence is raised first, so nobody counts anything while the old segments are read. Raises
    NotFound, Damaged when the request segment is, Fenced when somebody else took it meanwhile.
    """
    batch_id, number = shard
    with catalog.write() as connection:
        row = shards.raise_fence(connection, batch_id, number)
    with contextlib.ExitStack() as undo:
        requests = segments.read(batch_id, requests_name(number))
        undo.callback(requests.close)
        todo, history = _what_is_left(segments, row, requests)
        tail = _new_tail(row, todo, history)
        if todo or history.salvaged:
            tail.appender = segments.append(batch_id, results_name(number, row.fence))
            undo.callback(tail.appender.close)
            _copy(history.salvaged, tail)
        marked = _mark(catalog, tail, now())
        undo.pop_all()
    held = replace(row, tally=tail.tally, segments=tail.mark().segments)
    return Taken(held, todo, requests, tail, release), marked


def _what_is_left(segments: Segments, row: Shard, requests: Reader) -> tuple[list[Entry], _History]:
    all_of_it = entries(requests)
    if len(all_of_it) != row.requests:
        raise Damaged(
            f"shard {row.number} of {row.batch_id} has {len(all_of_it)} of its {row.requests} "
            "requests"
        )
    history = _read_history(segments, row, {entry.custom_id for entry in all_of_it})
    return [entry for entry in all_of_it if entry.custom_id not in history.settled], history


def _new_tail(row: Shard, todo: list[Entry], history: _History) -> Tail:
    return Tail(
        batch_id=row.batch_id,
        number=row.number,
        fence=row.fence,
        earlier=tuple(history.segments),
        appender=None,
        waiting={entry.custom_id for entry in todo},
        tally=history.tally(),
    )


def _copy(salvaged: list[bytes], tail: Tail) -> None:
    """Begin the new segment with the good lines found behind a damage."""
    if salvaged and tail.appender is not None:
        copied = b"".join(salvaged)
        tail.appender.put(copied, 0)
        tail.size, tail.checksum = len(copied), checksum.grown(0, copied)


def _mark(catalog: Catalog, tail: Tail, now: Microseconds) -> shards.Marked:
    """Write into the row up to which byte each segment counts. Raises Fenced."""
    if tail.fence == 1:  # the first fence was written together with its empty segment
        return shards.Marked(frozenset(), ())
    with catalog.write() as connection:
        marked = shards.mark(connection, [tail.mark()], now)
    if marked.lost:
        raise Fenced(f"shard {tail.number} of {tail.batch_id} was taken by somebody else")
    return marked


def _read_history(segments: Segments, row: Shard, known: set[str]) -> _History:
    """Read every older segment in order, and make durable what is found to count."""
    history = _History()
    for place, recorded in enumerate(row.segments, start=1):
        final = place < len(row.segments)
        name = results_name(row.number, recorded.fence)
        found = Found()
        # A crash right after the fence was raised leaves a row of zero bytes and no segment.
        with (
            contextlib.suppress(Damaged),
            contextlib.closing(segments.read(row.batch_id, name)) as segment,
        ):
            found = _believed(segment, known, history, recorded, final=final)
        if found.size >= recorded.size and found.size and not final:
            segments.seal(row.batch_id, name, found.size)
        if found.size < recorded.size:  # what is left of the segment stays as evidence
            _log.error(
                "result_segment_damaged",
                batch=row.batch_id,
                segment=name,
                damaged_at_byte=found.size,
                durable_bytes=recorded.size,
                lines_saved=len(found.salvaged),
            )
        history.salvaged += found.salvaged
        if found.size:
            history.segments.append(Segment(recorded.fence, found.size, found.checksum))
    return history


def _believed(
    segment: Reader, known: set[str], history: _History, recorded: Segment, *, final: bool
) -> Found:
    """What a segment holds, its outcomes added to `history`: nothing, if it looks as it should but
    its recorded part is not what was written."""
    settled = dict(history.settled)
    end, there = checksum.read(segment, recorded.size)
    found = read_results(segment, known, settled, recorded.size, final=final)
    if found.size < recorded.size:
        _, found.checksum = checksum.read(segment, found.size)
    elif recorded.checksum in (None, there):
        _, found.checksum = checksum.read(segment, found.size, end, there)
    else:
        return Found()
    history.settled = settled
    return found
