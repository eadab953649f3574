"""Rows of shards, and the one place where counts and `ended` come from.

A batch's counts are the sum over its shards, made in the transaction that changes a shard; the
same transaction ends the batch when nothing is left. A change names the fence it was made under,
so a worker that lost its shard changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa

from batchyard.batches.batch import Segment, Shard
from batchyard.batches.result import Tally
from batchyard.clock import Microseconds
from batchyard.errors import NotFound
from batchyard.store.catalog.tables import batches
from batchyard.store.catalog.tables import shards as table

_c = table.c
_COLUMNS = (
    _c.batch_id,
    _c.number,
    _c.model,
    _c.requests,
    _c.succeeded,
    _c.errored,
    _c.canceled,
    _c.expired,
    _c.fence,
    _c.segments,
)
_OF_BATCH = sa.select(*_COLUMNS).where(_c.batch_id == sa.bindparam("batch")).order_by(_c.number)
_segments = msgspec.json.Decoder(tuple[Segment, ...])


@dataclass(frozen=True, slots=True)
class Mark:
    """What is durable of a shard's results, as its holder under `fence` knows it."""

    batch_id: str
    number: int
    fence: int
    tally: Tally
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of some marks: those whose fence had passed, and the batches that ended."""

    lost: frozenset[tuple[str, int, int]]  # (batch id, number, fence)
    ended: tuple[str, ...]


def of_row(row: Any) -> Shard:
    batch_id, number, model, requests, *counts, fence, segments = row
    return Shard(
        batch_id, number, model, requests, Tally(*counts), fence, _segments.decode(segments)
    )


def of_batch(connection: sa.Connection, batch_id: str) -> list[Shard]:
    """In order of execution; empty before the plan, and once the bytes are gone."""
    return [of_row(row) for row in connection.execute(_OF_BATCH, {"batch": batch_id})]


# -- the plan -------------------------------------------------------------------------------------


def plan(connection: sa.Connection, batch_id: str, planned: Sequence[Shard]) -> bool:
    """Write the rows of a batch's shards and mark it planned; False if it was planned before."""
    b = batches.c
    first = sa.update(batches).where(b.id == batch_id, b.planned.is_(False), b.ended_at.is_(None))
    if connection.execute(first.values(planned=True)).rowcount == 0:
        return False
    rows = [
        {"batch_id": batch_id, "number": s.number, "model": s.model, "requests": s.requests}
        for s in planned
    ]
    held = sum(shard.requests for shard in planned)
    if held != (requests := _requests(connection, batch_id)):
        raise ValueError(f"the plan of {batch_id} holds {held} of its {requests} requests")
    connection.execute(sa.insert(table), rows)
    return True


def _requests(connection: sa.Connection, batch_id: str) -> int:
    row = connection.execute(sa.select(batches.c.requests).where(batches.c.id == batch_id)).one()
    return int(row.requests)


# -- fences and marks -----------------------------------------------------------------------------

_SHARD = (_c.batch_id == sa.bindparam("batch")) & (_c.number == sa.bindparam("shard"))
_RAISE_FENCE = sa.update(table).where(_SHARD).values(fence=_c.fence + 1)
_FIRST_SEGMENT = sa.update(table).where(_SHARD, _c.fence == 1).values(segments="[[1,0,0]]")
_ONE = sa.select(*_COLUMNS).where(_SHARD)
_MARK = (
    sa.update(table)
    .where(_SHARD, _c.fence == sa.bindparam("under"))
    .values({name: sa.bindparam(f"new_{name}") for name in (*Tally.__slots__, "segments")})
)


def raise_fence(connection: sa.Connection, batch_id: str, number: int) -> Shard:
    """The shard under a new fence: from the commit on, nobody else's marks are taken.

    The segments are as the last holder left them: the size of its own, the last one, is what it
    had marked, and more of it may be durable. The first holder's empty segment is written into the
    row right here; a later holder marks its own once it has read the older ones. Raises NotFound.
    """
    which = {"batch": batch_id, "shard": number}
    connection.execute(_RAISE_FENCE, which)
    connection.execute(_FIRST_SEGMENT, which)
    row = connection.execute(_ONE, which).first()
    if row is None:
        raise NotFound(f"Shard {number} of Message Batch {batch_id} not found.")
    shard = of_row(row)
    return replace(shard, segments=()) if shard.fence == 1 else shard


def mark(connection: sa.Connection, marks: Iterable[Mark], now: Microseconds) -> Marked:
    """Write what is durable, sum up, and end the batches of which nothing is left."""
    lost, touched = set(), set()
    for it in marks:
        values = {
            "batch": it.batch_id,
            "shard": it.number,
            "under": it.fence,
            "new_succeeded": it.tally.succeeded,
            "new_errored": it.tally.errored,
            "new_canceled": it.tally.canceled,
            "new_expired": it.tally.expired,
            "new_segments": msgspec.json.encode(it.segments).decode(),
        }
        if connection.execute(_MARK, values).rowcount == 0:
            lost.add((it.batch_id, it.number, it.fence))
        else:
            touched.add(it.batch_id)
    ended = tuple(batch for batch in sorted(touched) if _sum_up(connection, batch, now))
    return Marked(frozenset(lost), ended)


_b = batches.c
_SUM = sa.select(*(sa.func.coalesce(sa.func.sum(_c[name]), 0) for name in Tally.__slots__)).where(
    _c.batch_id == sa.bindparam("batch")
)
_COUNT = (
    sa.update(batches)
    .where(_b.id == sa.bindparam("batch"), _b.ended_at.is_(None))
    .values({name: sa.bindparam(f"new_{name}") for name in Tally.__slots__})
)
_SETTLED = _b.succeeded + _b.errored + _b.canceled + _b.expired
_END = (
    sa.update(batches)
    .where(
        _b.id == sa.bindparam("batch"),
        _b.ended_at.is_(None),
        _b.planned.is_(True),
        _b.requests == _SETTLED,
    )
    .values(
        processing_status="ended",
        # A clock that stepped back must not end a batch before it began.
        ended_at=sa.case(
            (_b.created_at > sa.bindparam("now"), _b.created_at), else_=sa.bindparam("now")
        ),
    )
)


def _sum_up(connection: sa.Connection, batch_id: str, now: Microseconds) -> bool:
    """Derive the batch's counts from its shards; True when that ended it."""
    tally = Tally(*connection.execute(_SUM, {"batch": batch_id}).one())
    counts = {f"new_{name}": getattr(tally, name) for name in Tally.__slots__}
    connection.execute(_COUNT, {"batch": batch_id, **counts})
    return connection.execute(_END, {"batch": batch_id, "now": now}).rowcount > 0
