"""Rows of the input at positions that ascend, in one pass as long as they do."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.errors import RunChanged
from batchyard.pipeline.run.contract import SourceLike


class Reading:
    """Reads on from where it is; asked for an earlier row, it begins again there."""

    def __init__(self, source: SourceLike) -> None:
        self._source = source
        self._rows: Iterator[dict[str, object]] = iter(())
        self._position = -1
        self._row: dict[str, object] = {}

    def at(self, position: int) -> dict[str, object]:
        """The row at `position`; raises `RunChanged` where the input ends before it."""
        if position < self._position or self._position < 0:
            self._rows = self._source.rows(position)
            self._position = position - 1
        while self._position < position:
            try:
                self._row = next(self._rows)
            except StopIteration:
                name, rows = self._source.name, self._position + 1
                self._position = -1
                raise RunChanged(
                    f"{name} ends after {rows:,} rows; it had more when the run began",
                    fix="put the file back as it was, then `batchyard resume`",
                ) from None
            self._position += 1
        return self._row
