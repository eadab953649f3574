"""Rows in `rows.db`: entered, taken into batches, settled, asked again, read in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run.store.tables import Database
from batchyard.pipeline.run.store.totals import Delta

PAGE_ROWS = 5_000
"""Rows that are read, or written in one transaction, at once."""

_FAILED = "('errored', 'canceled', 'expired')"
_json = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row to be asked. Where `repairs` is not 0, its last answer `raw` did not fit: `why`."""

    position: int
    repairs: int = 0
    raw: str = ""
    why: str = ""


class Settled(NamedTuple):
    """What one answer makes of the row at `position`; a `waiting` one is asked again."""

    position: int
    status: str
    answer: str | None = None
    raw: str | None = None
    error_type: str | None = None
    error: str | None = None
    stop_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    repairs: int = 0


def enter(database: Database, first: int, keys: list[bytes]) -> Delta:
    """Write down rows that follow each other from `first` on, within a transaction."""
    database.each(
        "INSERT INTO rows (position, key) VALUES (?, ?)",
        [(position, key) for position, key in enumerate(keys, first)],
    )
    return Counter(waiting=len(keys))


def waiting(database: Database, first: int = 0) -> Iterator[Waiting]:
    """The rows to be asked in order of position, from `first` on, a page at a time."""
    while True:
        page = database.ask(
            "SELECT position, repairs, raw, error FROM rows "
            "WHERE status = 'waiting' AND position >= ? ORDER BY position LIMIT ?",
            first,
            PAGE_ROWS,
        ).fetchall()
        for position, repairs, raw, why in page:
            yield Waiting(position, repairs, raw or "", why or "") if repairs else Waiting(position)
        if len(page) < PAGE_ROWS:
            return
        first = page[-1][0] + 1


def take(database: Database, batch: int, first: int, last: int) -> Delta:
    """Put every waiting row from `first` to `last` into a batch, within a transaction."""
    taken = database.run(
        "UPDATE rows SET status = 'batched', batch = ?, attempts = attempts + 1 "
        "WHERE status = 'waiting' AND position BETWEEN ? AND ?",
        batch,
        first,
        last,
    )
    return Counter(waiting=-taken, batched=taken)


def put_back(database: Database, batch: int, first: int, last: int, *, asked: bool) -> Delta:
    """Rows of a batch without an answer wait again, within a transaction. Where it was surely not
    `asked`, it does not count as an attempt."""
    freed = database.run(
        "UPDATE rows SET status = 'waiting', attempts = attempts - ? "
        "WHERE status = 'batched' AND batch = ? AND position BETWEEN ? AND ?",
        not asked,
        batch,
        first,
        last,
    )
    return Counter(waiting=freed, batched=-freed)


def unanswered(database: Database, batch: int, first: int, last: int) -> dict[int, int]:
    """Positions of a batch whose answer is not here, and how often each was repaired."""
    found = database.ask(
        "SELECT position, repairs FROM rows "
        "WHERE position BETWEEN ? AND ? AND batch = ? AND status = 'batched'",
        first,
        last,
        batch,
    )
    return dict(found.fetchall())


def settle(database: Database, batch: int, settled: list[Settled]) -> Delta:
    """Write down answers of rows that are in `batch` and have none, within a transaction."""
    changed = database.each(_SETTLE + f"{batch:d}", settled)  # the number is the house's own
    assert changed == len(settled), f"{len(settled)} answers for {changed} rows of batch {batch}"
    delta: Delta = Counter([one.status for one in settled])
    delta["input_tokens"] = sum([one.input_tokens for one in settled])
    delta["output_tokens"] = sum([one.output_tokens for one in settled])
    delta["batched"] -= changed
    return delta


_SETTLE = """
UPDATE rows SET status = ?2, answer = ?3, raw = ?4, error_type = ?5, error = ?6, stop_reason = ?7,
    input_tokens = input_tokens + ?8, output_tokens = output_tokens + ?9,
    model = coalesce(?10, model), repairs = ?11
WHERE position = ?1 AND status = 'batched' AND batch = """


def answered(database: Database, settled: Settled) -> Delta:
    """Write down the answer of a live call to a row that waits, within a transaction."""
    changed = database.run(_ANSWER, *settled)
    assert changed == 1, f"row {settled.position} does not wait for an answer"
    delta: Delta = Counter([settled.status])
    delta["waiting"] -= 1
    delta["input_tokens"] = settled.input_tokens
    delta["output_tokens"] = settled.output_tokens
    return delta


_ANSWER = """
UPDATE rows SET status = ?2, answer = ?3, raw = ?4, error_type = ?5, error = ?6, stop_reason = ?7,
    input_tokens = input_tokens + ?8, output_tokens = output_tokens + ?9,
    model = coalesce(?10, model), repairs = ?11, attempts = attempts + 1
WHERE position = ?1 AND status = 'waiting'"""


def revoke(database: Database, batch: int, positions: list[int], why: str) -> Delta:
    """Fail rows of a batch that were answered more than once, within a transaction."""
    delta: Delta = Counter()
    for position in positions:
        found = database.ask(
            "SELECT status FROM rows WHERE position = ? AND batch = ?", position, batch
        ).fetchone()
        if found is not None:
            database.run(
                "UPDATE rows SET status = 'errored', error_type = 'lost', error = ?, "
                "answer = NULL, raw = NULL WHERE position = ?",
                why,
                position,
            )
            delta[found[0]] -= 1
            delta["errored"] += 1
    return delta


def retry(database: Database, kinds: Collection[str] | None) -> Delta:
    """Failed rows of some kinds, None for all, wait again; within a transaction."""
    which, values = _of_kinds(kinds)
    delta: Delta = Counter()
    found = database.ask(
        f"SELECT status, count(*) FROM rows WHERE {which} GROUP BY status",  # noqa: S608  our own words
        *values,
    )
    for status, count in found.fetchall():
        delta[status] -= count
        delta["waiting"] += count
    database.run(f"UPDATE rows SET {_FRESH} WHERE {which}", *values)  # noqa: S608  our own words
    return delta


_FRESH = (
    "status = 'waiting', answer = NULL, raw = NULL, error_type = NULL, error = NULL, "
    "stop_reason = NULL, repairs = 0"
)


def rekey(database: Database, keys: list[tuple[int, bytes]]) -> None:
    """Waiting rows are asked something else: forget answers that did not fit; in a transaction."""
    database.each(
        "UPDATE rows SET key = ?, raw = NULL, error = NULL, repairs = 0 "
        "WHERE position = ? AND status = 'waiting'",
        [(key, position) for position, key in keys],
    )


def kinds(database: Database) -> dict[str, int]:
    """How many rows failed of each kind, the commonest first."""
    found = database.ask(
        "SELECT error_type, count(*) FROM rows WHERE status IN ('errored', 'canceled', 'expired') "
        "GROUP BY error_type ORDER BY 2 DESC, 1"
    )
    return dict(found.fetchall())


def outcomes(
    database: Database, *, failed: bool = False, kinds: Collection[str] | None = None
) -> Iterator[Outcome]:
    """What became of the rows that have ended, or of those that failed, in order of position."""
    which, values = _of_kinds(kinds) if failed else (f"status IN ('succeeded', {_FAILED[1:]}", ())
    first = 0
    while True:
        page = database.ask(
            f"{_OUTCOME} WHERE {which} AND position >= ? ORDER BY position LIMIT ?",
            *values,
            first,
            PAGE_ROWS,
        ).fetchall()
        for position, status, answer, *rest in page:
            yield Outcome(position, status, None if answer is None else _json(answer), *rest)
        if len(page) < PAGE_ROWS:
            return
        first = page[-1][0] + 1


_OUTCOME = (
    "SELECT position, status, answer, raw, error_type, error, stop_reason, input_tokens, "
    "output_tokens, model, attempts FROM rows"
)


def _of_kinds(kinds: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    """The condition on failed rows of some kinds, and its values."""
    if kinds is None:
        return f"status IN {_FAILED}", ()
    marks = ", ".join("?" * len(kinds))
    return f"status IN {_FAILED} AND error_type IN ({marks})", tuple(kinds)
