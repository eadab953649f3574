"""What the dispatch process last said of its engines, for the api process to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from batchyard.clock import Microseconds
from batchyard.engine import Model
from batchyard.store.catalog.tables import engine_reports as table

_models = msgspec.json.Decoder(tuple[Model, ...])


@dataclass(frozen=True, slots=True)
class EngineReport:
    """One engine as the dispatch process sees it. Times are microseconds since the epoch."""

    name: str
    kind: str  # simulator | messages | chat | anthropic | llama
    url: str  # without credentials; "" for engines inside the process
    state: str  # starting | up | waiting | paused
    reason: str  # why it is not up, in plain words; "" when up
    since: Microseconds
    in_flight: int
    limit: int
    models: tuple[Model, ...] = ()
    updated_at: Microseconds = 0  # set by the store


def replace(connection: sa.Connection, reports: Sequence[EngineReport], now: Microseconds) -> None:
    """Make `reports` all that is known of engines."""
    connection.execute(sa.delete(table))
    rows = [_row(report, now) for report in reports]
    if rows:
        connection.execute(sa.insert(table), rows)


def read(connection: sa.Connection) -> list[EngineReport]:
    """By name."""
    rows = connection.execute(sa.select(table).order_by(table.c.name)).mappings()
    return [EngineReport(**{**row, "models": _models.decode(row["models"])}) for row in rows]


def _row(report: EngineReport, now: Microseconds) -> dict[str, object]:
    fields = {name: getattr(report, name) for name in EngineReport.__slots__}
    models = msgspec.json.encode(report.models).decode()
    return {**fields, "models": models, "updated_at": now}
