"""A row and what became of it: the words that all parts of a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Fields: TypeAlias = Mapping[str, object]
"""One row of a dataset by column name, each value as its format gives it."""

Status = Literal["succeeded", "errored", "canceled", "expired"]
"""The API's words for how a request ends; an answer that does not fit its schema is `errored`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the row at `position` (from 0, in the input's order) ended.

    `answer` holds the answer columns of a row that succeeded, `raw` the text the model gave,
    also where it does not fit. `error_type` is the kind by which failed rows are chosen again:
    `schema`, `schema_truncated`, `too_long`, `canceled`, `expired`, or the API's error type without
    its `_error`. Token counts are those of all attempts that were answered; `attempts` says
    how often the row was asked.
    """

    position: int
    status: Status
    answer: Mapping[str, object] | None = None
    raw: str | None = None
    error_type: str | None = None
    error: str | None = None
    stop_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    attempts: int = 1
