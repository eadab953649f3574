"""The contract of a sink: rows go in, and the file appears when all of them are there."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow")


class Sink(Protocol):
    """An output that is being written. Left without `commit`, it leaves nothing behind."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, values: Sequence[object]) -> None:
        """Add a row, its values in the order of the columns. Raises `BadOutput`.

        The sink may look at `values` until `commit` returns: each row is a sequence of its own.
        """

    def commit(self) -> None:
        """When this returns, the file stands complete and durable under its name.

        What was there before is replaced in that moment, not earlier. Raises `BadOutput`.
        """
