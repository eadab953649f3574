"""The collector: results of a batch that has ended become what is known of its rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from batchyard.pipeline.run.collecting.kinds import LOST
from batchyard.pipeline.run.collecting.lines import Verdict, decoded
from batchyard.pipeline.run.sending.likeness import prefix
from batchyard.pipeline.run.store import Batch, RunStore, Settled
from batchyard.pipeline.run.store.rows import PAGE_ROWS

SHOWN_MAX = 5
PAGE_BYTES = 16 * 1024 * 1024
POSITION_DIGITS = 15


@dataclass(slots=True)
class Taken:
    """What the results of one batch have brought: rows by what became of them, and tokens.

    `again` rows wait to be asked again; `unknown` are custom_ids of lines that are of no row.
    """

    succeeded: int = 0
    failed: int = 0
    again: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unknown: list[str] = field(default_factory=list)

    def add(self, settled: list[Settled]) -> None:
        for one in settled:
            if one.status == "succeeded":
                self.succeeded += 1
            elif one.status == "waiting":
                self.again += 1
            else:
                self.failed += 1
            self.input_tokens += one.input_tokens
            self.output_tokens += one.output_tokens

    @property
    def rows(self) -> int:
        """Rows that have ended."""
        return self.succeeded + self.failed


class Collector:
    """Takes the lines of one batch to its rows, by custom_id alone, a page a transaction.

    Killed in between it begins again: rows whose answer is here are passed over.
    """

    def __init__(self, store: RunStore, batch: Batch, verdict: Verdict) -> None:
        self._store, self._batch, self._verdict = store, batch, verdict
        self._prefix = prefix(store.manifest.tag, batch.seq)
        self._open = store.unanswered(batch)
        self._fresh = len(self._open) == batch.requests
        self._seen: set[int] = set()
        self.taken = Taken()

    async def take(self, path: Path, breathe: Callable[[Taken], Awaitable[None]]) -> Taken:
        """Keep everything in the file at `path`, and what is not there; removes it at the end."""
        for page in _pages(path):
            settled, doubled = self._read(page)
            self.taken.add(settled)
            self._store.settle(self._batch, settled, doubled=doubled)
            await breathe(self.taken)
        self.close(self._why(), "collected")
        return self.taken

    def close(self, why: str, state: Literal["collected", "lost"]) -> Taken:
        """Rows that have no answer by now have failed: `why` says how."""
        missing = iter(list(self._open))
        while page := list(islice(missing, PAGE_ROWS)):
            lost = [
                Settled(
                    position, "errored", error_type=LOST, repairs=self._open[position],
                    error=f"there is no answer to {self._prefix}{position}: {why}",
                )
                for position in page
            ]  # fmt: skip
            self.taken.add(lost)
            self._store.settle(self._batch, lost)
        self._store.settle(self._batch, [], state=state)
        return self.taken

    def _why(self) -> str:
        why = f"{self._batch.batch_id} ended without a result for it"
        if self.taken.unknown:
            why += f' (but with one for "{self.taken.unknown[0][:80]}", which was not asked)'
        return why

    def _read(self, page: list[bytes]) -> tuple[list[Settled], dict[int, str]]:
        settled: list[Settled] = []
        doubled: dict[int, str] = {}
        opened, seen, verdict = self._open, self._seen, self._verdict.settled
        first = len(self._prefix)
        for text in page:
            line = decoded(text)
            if line is None:
                self._unknown("a line that is no result")
                continue
            name = line.custom_id
            position = _position(name[first:]) if name.startswith(self._prefix) else -1
            if position in seen:
                doubled[position] = (
                    f"{self._batch.batch_id} answered {name} more than once; none is taken"
                )
            elif (repairs := opened.pop(position, None)) is not None:
                settled.append(verdict(line, position, repairs))
            elif self._fresh or position < 0:
                self._unknown(name)
                continue
            seen.add(position)
        return settled, doubled

    def _unknown(self, name: str) -> None:
        if len(self.taken.unknown) < SHOWN_MAX:
            self.taken.unknown.append(name)


def _position(text: str) -> int:
    """The position that we wrote as `text`, -1 for a text that we never write."""
    if not text.isascii() or not text.isdecimal() or len(text) > POSITION_DIGITS:
        return -1
    return int(text) if text[0] != "0" or text == "0" else -1


def _pages(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, so many at once as a transaction and the memory should hold."""
    page: list[bytes] = []
    size = 0
    with path.open("rb") as file:
        for line in file:
            page.append(line)
            size += len(line)
            if len(page) == PAGE_ROWS or size > PAGE_BYTES:
                yield page
                page, size = [], 0
    if page:
        yield page
