"""Batches, numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from batchyard.clock import SECOND, Microseconds
from batchyard.wire import MessageBatch

_OUTCOMES = ("succeeded", "errored", "canceled", "expired")


def as_json(value: object) -> Any:
    """A wire object as plain values, for an envelope."""
    return msgspec.to_builtins(value)


def total(batch: MessageBatch) -> int:
    """Requests in the batch."""
    counts = batch.request_counts
    return counts.processing + settled(batch)


def settled(batch: MessageBatch) -> int:
    """Requests that have their result."""
    return sum(getattr(batch.request_counts, outcome) for outcome in _OUTCOMES)


def failed(batch: MessageBatch) -> int:
    """Requests that ended without an answer, whoever is to blame."""
    return settled(batch) - batch.request_counts.succeeded


def number(value: int) -> str:
    """`12 345`: groups of three, no comma that a reader could take for a decimal point."""
    return f"{value:,}".replace(",", " ")


def outcomes(batch: MessageBatch) -> str:
    """`1 997 succeeded, 3 errored`; what did not happen is left out."""
    found = batch.request_counts
    parts = [
        f"{number(getattr(found, name))} {name}"
        for name in ("processing", *_OUTCOMES)
        if getattr(found, name)
    ]
    return ", ".join(parts) or "none"


def requests(batch: MessageBatch) -> str:
    """`2 000 requests`."""
    many = total(batch)
    return f"{number(many)} request{'s' * (many != 1)}"


def seconds_between(earlier: str, later: str) -> float:
    """Between two moments of a batch."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def duration(seconds: float) -> str:
    """`53 s`, `3 min 20 s`, `2 h 5 min`, `4 d 6 h`: the two largest units, rounded down."""
    left = max(0, int(seconds))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for index, (name, size) in enumerate(units):
        if left >= size or name == "s":
            text = f"{left // size} {name}"
            rest, (next_name, next_size) = left % size, units[min(index + 1, 3)]
            if name != "s" and rest // next_size:
                text += f" {rest // next_size} {next_name}"
            return text
    raise AssertionError


def moment(stamp: str, now: Microseconds) -> str:
    """`2025-01-29 14:25:40 UTC (3 min ago)`."""
    when = datetime.fromisoformat(stamp)
    away = when.timestamp() - now / SECOND
    relative = f"in {duration(away)}" if away > 0 else f"{duration(-away)} ago"
    return f"{when:%Y-%m-%d %H:%M:%S} UTC ({relative})"


def batch_lines(batch: MessageBatch, now: Microseconds) -> Iterator[str]:
    """Everything about one batch, a line for each thing."""
    rows: list[tuple[str, str | None]] = [
        ("id", batch.id),
        ("status", batch.processing_status),
        ("requests", f"{number(total(batch))}: {outcomes(batch)}"),
        ("created", moment(batch.created_at, now)),
        ("expires", None if batch.ended_at else moment(batch.expires_at, now)),
        ("canceled", batch.cancel_initiated_at and moment(batch.cancel_initiated_at, now)),
        ("ended", batch.ended_at and moment(batch.ended_at, now)),
        ("archived", batch.archived_at and moment(batch.archived_at, now)),
        ("results", batch.results_url),
    ]
    for name, text in rows:
        if text:
            yield f"{name:<10}{text}"


def batch_table(batches: Iterable[MessageBatch], now: Microseconds) -> list[str]:
    """One line for each batch under a line of headings."""
    rows = [("ID", "STATUS", "DONE", "FAILED", "CREATED")]
    for batch in batches:
        age = now / SECOND - datetime.fromisoformat(batch.created_at).timestamp()
        done = f"{number(settled(batch))}/{number(total(batch))}"
        failures = number(failed(batch)) if failed(batch) else "-"
        rows.append((batch.id, batch.processing_status, done, failures, f"{duration(age)} ago"))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
