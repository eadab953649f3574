"""The contract of a source: rows in their order, as often as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow", "requests", "openai")
"""What can be read; `requests` and `openai` are batches that were made ready elsewhere."""


class Source(Protocol):
    """A dataset that has been looked at, of which at least one row could be read."""

    @property
    def name(self) -> str:
        """As the user said it: `reviews.csv`, `stdin`, `DataFrame`."""

    @property
    def format(self) -> str:
        """One of `FORMATS`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in the input's order; none for `requests` and `openai`."""

    @property
    def path(self) -> Path:
        """The file that holds the rows; of standard input and frames, where they were kept."""

    @property
    def schema(self) -> Any:
        """The Arrow schema of Parquet and Arrow files, None for all others."""

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        """The rows from position `first` on, one at a time, each with every column.

        May be called again and again, also side by side. Of `requests` and `openai` each row is
        `{"custom_id": str, "params": dict}` with Messages params. Raises `BadInput` that names
        the file and the line.
        """

    def fingerprint(self) -> str:
        """`sha256:…` of the file's bytes; asked again, it costs nothing unless the file changed."""
