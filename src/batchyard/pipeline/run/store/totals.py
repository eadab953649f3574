"""Sums over the rows of a run, kept beside them in the same transactions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from batchyard.pipeline.run.store.tables import Database

Delta = Counter[str]
"""What a transaction changes, by the name of the sum."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows by status, and tokens of all attempts. `prepared`: all rows of the input are
    here. `seconds` is how long sessions have worked on it."""

    waiting: int = 0
    batched: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    prepared: int = 0
    task: int = 0
    seconds: int = 0

    @property
    def rows(self) -> int:
        return self.waiting + self.batched + self.succeeded + self.failed

    @property
    def failed(self) -> int:
        return self.errored + self.canceled + self.expired

    @property
    def ended(self) -> int:
        """Rows that have ended, well or not."""
        return self.succeeded + self.failed

    @property
    def left(self) -> int:
        """Rows that have not ended yet."""
        return self.waiting + self.batched


def read(database: Database) -> Totals:
    """The sums as they are."""
    return Totals(**dict(database.ask("SELECT name, value FROM totals").fetchall()))


def move(database: Database, delta: Delta) -> None:
    """Change the sums, within a transaction."""
    database.each(
        "UPDATE totals SET value = value + ? WHERE name = ?",
        [(by, name) for name, by in delta.items() if by],
    )
