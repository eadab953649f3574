"""The budget of a run: each batch reserves the most it can take before it is sent."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from batchyard.errors import ConfigurationError
from batchyard.pipeline.estimate.caps import Caps, Name, Reach, reached
from batchyard.pipeline.estimate.prices.price import Price, Tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """What rows have really taken: `rows` that have ended, `answers` of them good."""

    rows: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.rows + other.rows,
            self.answers + other.answers,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that rows can take."""

    rows: int
    body_bytes: int
    tokens: int
    cost: Decimal


class Budget:
    """Keeps a run under its caps. Not a row is sent for which there might not be enough.

    A prompt never has more tokens than its JSON has bytes, an answer never more than `max_tokens`:
    with these bounds the sum of what is spent and what is reserved stays under the caps on cost
    and tokens whatever comes back. They are wide, so batches get smaller as a cap comes near; what
    a batch did not need is free again when it has settled. Should a server count more tokens than
    bytes, as for a picture by its address, later bounds grow by what was seen. Hours, and a price
    by the hour, go by how long rows have taken so far: that is an expectation.

    `rows` is how many the run has in all, `hours` tells how long it has run, all sessions
    together, `spent` what earlier sessions took. Batches are named by their number in the run.
    Raises `ConfigurationError` for a cap on cost where no price is known.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        rows: int,
        max_tokens: int,
        price: Price | None,
        model: str,
        hours: Callable[[], float],
        spent: Spent = Spent(),
    ) -> None:
        if caps.max_cost is not None and price is None:
            raise ConfigurationError(
                f"--max-cost {caps.max_cost}: there is no price for {model}, so cost is not known",
                fix=f'write [prices."{model}"] into batchyard.toml, or cap tokens with '
                "--max-tokens-total",
            )
        self._caps, self._rows, self._max_tokens = caps, rows, max_tokens
        self._price = price or Price(model, "no price known")
        self._hours = hours
        self._spent = spent
        self._held: dict[int, Bound] = {}
        self._tokens_per_byte = 1.0

    @property
    def spent(self) -> Spent:
        """What has been spent on tokens so far."""
        return self._spent

    @property
    def holds(self) -> bool:
        """Whether batches are on their way: there may be more room when one has ended."""
        return bool(self._held)

    def cost(self) -> Decimal:
        """Dollars so far, for tokens and for hours of the machine."""
        return self._spent.cost + self._price.machine(self._hours())

    def fitting(self, sizes: Sequence[int]) -> int:
        """How many of the next rows may be sent, given the bytes of each one's request."""
        upto = list(itertools.accumulate(sizes))

        def too_much(rows: int) -> bool:
            return any(_over(reach) for reach in self._reaches(self._bound(rows, upto[rows - 1])))

        return bisect.bisect_left(range(1, len(upto) + 1), True, key=too_much)

    def reserve(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside what a batch can take at most, before it is sent.

        Raises `CapReached`, having set nothing aside, when it does not fit.
        """
        bound = self._bound(rows, body_bytes)
        for reach in self._reaches(bound):
            if _over(reach):
                raise reached(reach, self._spent.answers)
        self._held[batch] = bound

    def hold(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside for a batch that an earlier session sent, whether it fits or not."""
        self._held[batch] = self._bound(rows, body_bytes)

    def settle(
        self, batch: int, *, rows: int, answers: int, input_tokens: int, output_tokens: int
    ) -> None:
        """A batch has ended and took so much; the rest of what it held is free again."""
        bound = self._held.pop(batch, None)
        if bound is not None and bound.body_bytes:
            seen = input_tokens / bound.body_bytes
            self._tokens_per_byte = max(self._tokens_per_byte, seen)
        self._spend(Spent(rows, answers, input_tokens, output_tokens), batch=True)

    def sampled(self, used: Spent) -> None:
        """Rows of a sample took `used`, at the price of single calls."""
        self._spend(used, batch=False)

    def _spend(self, used: Spent, *, batch: bool) -> None:
        tokens = Tokens(used.input_tokens, used.output_tokens, requests=used.rows)
        cost = self._price.cost(tokens, batch=batch)
        self._spent += Spent(
            used.rows, used.answers, used.input_tokens, used.output_tokens, used.cost + cost
        )

    def _bound(self, rows: int, body_bytes: int) -> Bound:
        taken, given = math.ceil(body_bytes * self._tokens_per_byte), rows * self._max_tokens
        cost = self._price.most(taken, given, batch=True)
        return Bound(rows, body_bytes, taken + given, cost)

    def _reaches(self, bound: Bound) -> Iterator[Reach]:
        """How each cap stands if `bound` were reserved too."""
        spent, caps = self._spent, self._caps
        hours, held = self._hours(), self._held.values()
        each = hours / spent.rows if spent.rows else 0.0
        if caps.max_tokens_total is not None:
            tokens = sum(one.tokens for one in held)
            stand = _Standing(caps.max_tokens_total, spent.tokens, tokens, bound.tokens)
            yield self._reach("max_tokens_total", stand, bound.rows)
        if caps.max_cost is not None:
            cost = sum((one.cost for one in held), Decimal(0))
            more = bound.cost + self._price.machine(each * bound.rows)
            stand = _Standing(caps.max_cost, self.cost(), cost, more)
            yield self._reach("max_cost", stand, bound.rows)
        if caps.max_hours is not None:
            # Batches on their way end while the next one runs: their time is not added.
            stand = _Standing(caps.max_hours, hours, 0, each * bound.rows)
            yield self._reach("max_hours", stand, bound.rows)

    def _reach(self, name: Name, stand: _Standing, rows: int) -> Reach:
        cap, spent, held, more = (Decimal(str(amount)) for amount in stand)
        ended = self._spent.rows
        wanted = spent / ended * self._rows if ended else None
        return Reach(name, cap, spent, held, more, rows, wanted)


class _Standing(NamedTuple):
    """Amounts of a cap as they come, floats among them."""

    cap: float | Decimal
    spent: float | Decimal
    held: float | Decimal
    more: float | Decimal


def _over(reach: Reach) -> bool:
    # A machine whose hours are used up has no room even for a row that takes no time.
    used_up = reach.spent >= reach.cap
    return used_up or reach.spent + reach.held + reach.next > reach.cap
