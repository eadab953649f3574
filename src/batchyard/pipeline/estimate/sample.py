"""A sample: a few rows really run, one call each, whose answers count like all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from batchyard.clock import Clock
from batchyard.errors import (
    BatchyardError,
    InvalidRequest,
    NotFound,
    NotThisApi,
    Overload,
    RateLimited,
    RequestTooLarge,
    ServerUnreachable,
    ServiceUnavailable,
)
from batchyard.pipeline.row import Fields, Outcome

ROWS = 5
"""Rows of a sample unless the user says otherwise."""

Judge = Callable[[int, bytes], Outcome]
"""Makes the outcome of the row at a position from the JSON of a `result`, as lines of a batch's
results have it: answers are read in one way, wherever they come from."""


class Asker(Protocol):
    """What a sample needs of a client."""

    @property
    def clock(self) -> Clock: ...
    async def message(self, params: bytes, /) -> bytes: ...


class Question(Protocol):
    """What a sample needs of a task."""

    def params_of(self, fields: Fields, *, position: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of asking `asked` rows at the same time.

    `latencies` are the seconds of each answered call, `seconds` those of all together. `trouble`
    is the server's reason why rows have no outcome; those rows are still to be asked.
    """

    asked: int
    outcomes: tuple[Outcome, ...] = ()
    latencies: tuple[float, ...] = ()
    seconds: float = 0.0
    trouble: str | None = None

    @property
    def answered(self) -> tuple[Outcome, ...]:
        """Outcomes of rows that a model has answered, in whatever form."""
        return tuple(one for one in self.outcomes if one.output_tokens or one.input_tokens)

    @property
    def valid(self) -> int:
        """Rows whose answer is as it should be."""
        return sum(one.status == "succeeded" for one in self.outcomes)


def spread(rows: int, sample: int = ROWS) -> list[int]:
    """Positions at even distances, the first and the last row among them.

    Datasets come sorted, by date or by customer: their first rows are like each other.
    """
    if rows <= sample:
        return list(range(rows))
    if sample <= 1:
        return [rows // 2] * sample
    return [round(step * (rows - 1) / (sample - 1)) for step in range(sample)]


def picked(rows: Iterable[Fields], positions: Sequence[int]) -> list[tuple[int, Fields]]:
    """The rows at `positions`, which ascend, in one pass that ends with the last of them."""
    wanted, found = iter(positions), []
    next_one = next(wanted, None)
    for position, fields in enumerate(rows):
        if next_one is None:
            break
        if position == next_one:
            found.append((position, fields))
            next_one = next(wanted, None)
    return found


async def take_sample(
    client: Asker,
    task: Question,
    rows: Sequence[tuple[int, Fields]],
    *,
    judge: Judge,
    keep: Callable[[Outcome], None],
) -> Sample:
    """Ask all `rows` at the same time and `keep` each outcome as it comes.

    A row that the server refuses for its own fault has that as its outcome. One that got no answer
    because the server is busy, breaks down or has no live calls has none, and the sample says so.
    Raises what `params_of` raises, before anything is sent, and refusals that concern every row:
    a wrong key, a model that is not served.
    """
    asked = [(position, task.params_of(fields, position=position)) for position, fields in rows]
    taking = _Taking(client, judge, keep)
    began = client.clock.monotonic()
    ended = await asyncio.gather(
        *(taking.ask(position, params) for position, params in asked), return_exceptions=True
    )
    seconds = client.clock.monotonic() - began
    for fault in ended:
        # Raised only now: the other answers are paid for and have been kept.
        if isinstance(fault, BaseException):
            raise fault
    outcomes = tuple(sorted(taking.outcomes, key=lambda outcome: outcome.position))
    return Sample(len(asked), outcomes, tuple(taking.latencies), seconds, taking.trouble)


class _Taking:
    """A sample on its way."""

    def __init__(self, client: Asker, judge: Judge, keep: Callable[[Outcome], None]) -> None:
        self._client, self._judge, self._keep = client, judge, keep
        self.outcomes: list[Outcome] = []
        self.latencies: list[float] = []
        self.trouble: str | None = None

    async def ask(self, position: int, params: bytes) -> None:
        clock = self._client.clock
        began = clock.monotonic()
        try:
            message = await self._client.message(params)
        except (InvalidRequest, RequestTooLarge) as error:
            self._settle(position, _errored(error))
        except NotFound as error:
            if error.anchor == "unknown_model":
                raise
            self._give_up(error, "the server has no live calls")
        except (
            NotThisApi, Overload, RateLimited, ServerUnreachable, ServiceUnavailable
        ) as error:  # fmt: skip
            self._give_up(error, "the server did not answer")
        else:
            self.latencies.append(clock.monotonic() - began)
            self._settle(position, b'{"type":"succeeded","message":%b}' % message)

    def _settle(self, position: int, result: bytes) -> None:
        outcome = self._judge(position, result)
        self._keep(outcome)
        self.outcomes.append(outcome)

    def _give_up(self, error: BatchyardError, what: str) -> None:
        self.trouble = self.trouble or f"{what}: {error.message}"


def _errored(error: InvalidRequest | RequestTooLarge) -> bytes:
    detail = {"type": error.type, "message": error.message}
    return msgspec.json.encode({"type": "errored", "error": {"type": "error", "error": detail}})
