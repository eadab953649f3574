"""A row with its answer: the input's columns untouched, the answer's, then what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from batchyard.pipeline.row import Fields, Outcome

META = (
    "status", "error_type", "error", "stop_reason",
    "input_tokens", "output_tokens", "model", "attempts",
)  # fmt: skip
"""What is told of every row beside its answer; each name is written behind a prefix."""

_meta = attrgetter(*META)
_NO_META = (None,) * len(META)


@dataclass(frozen=True, slots=True)
class Labelling:
    """Which columns an output has: those of the input, those of the answer, and the rest.

    `prefix` None leaves the rest out.
    """

    input: tuple[str, ...]
    answer: tuple[str, ...]
    prefix: str | None = "_"

    @property
    def added(self) -> tuple[str, ...]:
        """The columns that the input does not have."""
        meta = () if self.prefix is None else tuple(self.prefix + name for name in META)
        return (*self.answer, *meta)

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return (*self.input, *self.added)

    def values(self, fields: Fields, outcome: Outcome | None) -> list[object]:
        """One row of the output; `outcome` is None for a row that was not asked."""
        values = [fields.get(name) for name in self.input]
        answer = None if outcome is None else outcome.answer
        values += [None if answer is None else answer.get(name) for name in self.answer]
        if self.prefix is not None:
            values += _NO_META if outcome is None else _meta(outcome)
        return values


def labelled(
    rows: Iterable[Fields], outcomes: Iterable[Outcome], labelling: Labelling
) -> Iterator[list[object]]:
    """Rows of the output, in the input's order. `outcomes` ascend by position and may have gaps."""
    following = iter(outcomes)
    outcome = next(following, None)
    for position, fields in enumerate(rows):
        found = outcome if outcome is not None and outcome.position == position else None
        yield labelling.values(fields, found)
        if found is not None:
            outcome = next(following, None)
