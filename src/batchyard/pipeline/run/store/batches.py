"""Batches in `rows.db`: what was meant to be sent, written down before it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from batchyard.clock import Microseconds
from batchyard.pipeline.run.store.tables import Database

State = Literal["planned", "sending", "created", "ended", "collected", "lost"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of a run: the columns of its table, in their order. `sent_at` is wall time."""

    seq: int
    state: State
    idempotency_key: str
    server: str
    batch_id: str | None
    certain: bool
    rejected: tuple[str, ...]
    requests: int
    body_bytes: int
    first: int
    last: int
    task: int
    created_at: str
    sent_at: Microseconds | None


def next_seq(database: Database) -> int:
    """The number of the next batch, from 1."""
    found: int | None = database.ask("SELECT max(seq) FROM batches").fetchone()[0]
    return (found or 0) + 1


def add(database: Database, batch: Batch) -> None:
    """Write down a batch that is planned, within a transaction."""
    marks = ", ".join("?" * len(Batch.__dataclass_fields__))
    values = [getattr(batch, name) for name in Batch.__dataclass_fields__]
    values[values.index(batch.rejected)] = "[]"
    database.run(f"INSERT INTO batches VALUES ({marks})", *values)  # noqa: S608  marks only


def drop(database: Database, seq: int) -> None:
    """Forget a batch that was surely not asked, within a transaction."""
    database.run("DELETE FROM batches WHERE seq = ?", seq)


def unfinished(database: Database) -> list[Batch]:
    """The batches whose answers are not all here, in their order."""
    found = database.ask(
        "SELECT * FROM batches WHERE state IN ('planned', 'sending', 'created', 'ended') "
        "ORDER BY seq"
    )
    return [_batch(row) for row in found.fetchall()]


def every(database: Database) -> list[Batch]:
    """All batches of the run, in their order."""
    found = database.ask("SELECT * FROM batches ORDER BY seq")
    return [_batch(row) for row in found.fetchall()]


def ids(database: Database) -> set[str]:
    """The ids by which the servers know the batches of this run."""
    found = database.ask("SELECT batch_id FROM batches WHERE batch_id IS NOT NULL")
    return {row[0] for row in found.fetchall()}


def move(database: Database, seq: int, state: State) -> None:
    """Say how far a batch is."""
    database.run("UPDATE batches SET state = ? WHERE seq = ?", state, seq)


def sending(database: Database, seq: int, now: Microseconds) -> None:
    """The batch leaves now, or left before: the first time is kept, what is found is not older."""
    database.run(
        "UPDATE batches SET state = 'sending', sent_at = coalesce(sent_at, ?) WHERE seq = ?",
        now,
        seq,
    )


def refused(database: Database, seq: int) -> None:
    """The server surely has not taken it: it can be sent again without a look."""
    database.run("UPDATE batches SET state = 'planned', sent_at = NULL WHERE seq = ?", seq)


def created(database: Database, seq: int, batch_id: str, *, certain: bool) -> None:
    """The server knows it by this id."""
    database.run(
        "UPDATE batches SET state = 'created', batch_id = ?, certain = ? WHERE seq = ?",
        batch_id,
        certain,
        seq,
    )


def reject(database: Database, batch: Batch) -> None:
    """What looked like this batch was another one: it is not known whether the server has it."""
    assert batch.batch_id is not None
    rejected = msgspec.json.encode([*batch.rejected, batch.batch_id]).decode()
    database.run(
        "UPDATE batches SET state = 'sending', batch_id = NULL, certain = 1, rejected = ? "
        "WHERE seq = ?",
        rejected,
        batch.seq,
    )


def _batch(row: tuple[object, ...]) -> Batch:
    fields = dict(zip(Batch.__dataclass_fields__, row, strict=True))
    fields["certain"] = bool(fields["certain"])
    fields["rejected"] = tuple(msgspec.json.decode(str(fields["rejected"])))
    return Batch(**fields)  # type: ignore[arg-type]  # as the table has them
